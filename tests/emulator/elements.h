// What a tensor core makes of the bits that it is given: half, bfloat16 and tf32 as floats.
#pragma once
#ifdef __F16C__
#include <immintrin.h>
#endif

namespace emulator {

typedef float Row8 __attribute__((vector_size(32)));  // eight sums at once

// `values` takes `count` numbers, a multiple of 8.
template <class B, float (*value)(B)> struct Numbers {
  typedef B Bits;
  static void values(const void* packed, float* to, int count) {
    const B* bits = static_cast<const B*>(packed);
    for (int i = 0; i < count; i++) to[i] = value(bits[i]);
  }
};

inline float tf32_to_float(unsigned bits) {  // the last 13 bits are not looked at
  return bit_cast<float>(bits & 0xFFFFE000);
}

typedef Numbers<unsigned short, bfloat16_to_float> Bfloat16;
typedef Numbers<unsigned, tf32_to_float> Tf32;

#ifdef __F16C__
struct Half {
  typedef unsigned short Bits;
  static void values(const void* packed, float* to, int count) {
    auto* bits = static_cast<const __m128i*>(packed);
    for (int i = 0; i < count / 8; i++) _mm256_storeu_ps(to + 8 * i, _mm256_cvtph_ps(_mm_loadu_si128(bits + i)));
  }
};
#else
typedef Numbers<unsigned short, half_to_float> Half;
#endif

}  // namespace emulator
