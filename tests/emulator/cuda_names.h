// CUDA's keywords, vector types, mathematics and bit casts, as C++ for the CPU.
#pragma once
#define _GLIBCXX_INCLUDE_NEXT_C_HEADERS  // C's own alone: the C++ library's takes as long to read as all the rest
#include <math.h>
#undef _GLIBCXX_INCLUDE_NEXT_C_HEADERS
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

// One for every thread of the CPU, and such a thread runs one block at a time. shared_memory.h poisons them.
#define __shared__ static thread_local

#define VECTOR_TYPES(T, name, pair_bytes, four_bytes)                                                  \
  struct alignas(pair_bytes) name##2 { T x, y; };                                                      \
  struct name##3 { T x, y, z; };                                                                       \
  struct alignas(four_bytes) name##4 { T x, y, z, w; };                                                \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                           \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                   \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

VECTOR_TYPES(float, float, 8, 16)
VECTOR_TYPES(int, int, 8, 16)
VECTOR_TYPES(unsigned, uint, 8, 16)
VECTOR_TYPES(unsigned short, ushort, 4, 8)
VECTOR_TYPES(unsigned char, uchar, 2, 4)
#undef VECTOR_TYPES

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

#define MIN_AND_MAX(T)                                   \
  inline T min(T a, T b) { return b < a ? b : a; }       \
  inline T max(T a, T b) { return a < b ? b : a; }

MIN_AND_MAX(int)
MIN_AND_MAX(unsigned)
MIN_AND_MAX(long)
MIN_AND_MAX(unsigned long)
MIN_AND_MAX(long long)
MIN_AND_MAX(unsigned long long)
#undef MIN_AND_MAX

// CUDA's min and max of floats are fminf and fmaxf: of a number and a NaN they give the number.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }

inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fmul_rn(float x, float y) { volatile float product = x * y; return product; }
inline float __fadd_rn(float x, float y) { volatile float sum = x + y; return sum; }
inline float __fsub_rn(float x, float y) { volatile float difference = x - y; return difference; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline int __float2int_rn(float x) { return static_cast<int>(rintf(x)); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }

namespace emulator {
template <class To, class From> inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
}  // namespace emulator

inline unsigned __float_as_uint(float x) { return emulator::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return emulator::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return emulator::bit_cast<float>(x); }
inline float __int_as_float(int x) { return emulator::bit_cast<float>(x); }

template <class T> inline T __ldg(const T* p) { return *p; }
