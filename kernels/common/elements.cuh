// What a tensor's elements are stored as, and what they are multiplied as. A source is compiled once for each element:
// -DELEMENT=FLOAT32, TF32, FLOAT16 or BFLOAT16. Sums are float32 always.
//
//   ELEMENT   stored as        multiplied as
//   FLOAT32   float            float (FFMA)
//   TF32      float            tf32: 8 bits of exponent, 10 of mantissa, on tensor cores
//   FLOAT16   unsigned short   half, on tensor cores
//   BFLOAT16  unsigned short   bfloat16, on tensor cores
#pragma once
#include "intrinsics.cuh"

#define FLOAT32 0
#define TF32 1
#define FLOAT16 2
#define BFLOAT16 3

#if ELEMENT == FLOAT16 || ELEMENT == BFLOAT16
typedef unsigned short Stored;
#else
typedef float Stored;
#endif
constexpr int VECTOR = 16 / sizeof(Stored);  // elements of a 16-byte access: 8 of 16 bits, or 4 of 32

__device__ __forceinline__ float to_float(Stored value) {
#if ELEMENT == FLOAT16
  return half_to_float(value);
#elif ELEMENT == BFLOAT16
  return bfloat16_to_float(value);
#else
  return value;
#endif
}

// Rounds to the nearest, ties to even.
__device__ __forceinline__ Stored from_float(float value) {
#if ELEMENT == FLOAT16
  return float_to_half(value);
#elif ELEMENT == BFLOAT16
  return float_to_bfloat16(value);
#else
  return value;
#endif
}
