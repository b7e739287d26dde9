// Narrow numbers: half, bfloat16 and tf32, rounded as PTX's cvt rounds them. A NaN becomes cvt's NaN, 0x7FFF.
#pragma once
#ifdef __F16C__
#include <immintrin.h>
#endif

inline unsigned short float_to_half(float value) {
  if (value != value) return 0x7FFF;
  return emulator::bit_cast<unsigned short>(static_cast<_Float16>(value));
}

inline float half_to_float(unsigned short half) {
  return static_cast<float>(emulator::bit_cast<_Float16>(half));
}

inline unsigned short float_to_bfloat16(float value) {
  if (value != value) return 0x7FFF;
  unsigned bits = emulator::bit_cast<unsigned>(value);
  return static_cast<unsigned short>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

inline float bfloat16_to_float(unsigned short bfloat) {
  return emulator::bit_cast<float>(static_cast<unsigned>(bfloat) << 16);
}

// max.NaN: +0 is larger than -0
inline float larger_or_nan(float a, float b) {
  if (a != a || b != b) return emulator::bit_cast<float>(0x7FFFFFFFu);
  return a == 0 && b == 0 ? a + b : a > b ? a : b;
}

// cvt.rna: ties go away from zero, as adding half of the last place does to sign and magnitude alike
inline unsigned float_to_tf32(float value) {
  if (value != value) return 0x7FFFFFFF;
  unsigned bits = emulator::bit_cast<unsigned>(value);
  bool infinite = (bits & 0x7F800000) == 0x7F800000;
  return infinite ? bits : (bits + 0x1000) & 0xFFFFE000;
}

namespace emulator {

// What a tensor core makes of the bits that it is given: `count` numbers, a multiple of 8.
template <class B, float (*value)(B)> struct Numbers {
  typedef B Bits;
  OWN static void values(const void* packed, float* to, int count) {
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
  OWN static void values(const void* packed, float* to, int count) {
    auto* bits = static_cast<const __m128i*>(packed);
    for (int i = 0; i < count / 8; i++) _mm256_storeu_ps(to + 8 * i, _mm256_cvtph_ps(_mm_loadu_si128(bits + i)));
  }
};
#else
typedef Numbers<unsigned short, half_to_float> Half;
#endif

}  // namespace emulator
