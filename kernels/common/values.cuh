// Neighbouring channels moved by one instruction: 16 bytes where the channels allow it, one value where they do not.
// A kernel is written once as a template of the width and compiled for both: <name>_vector and <name>_scalar.
#pragma once
#include "elements.cuh"

constexpr int VECTOR = 16 / sizeof(Stored);  // 8 values of 16 bits, or 4 of 32

// Aligned as a whole, so that the compiler may move it as a whole.
template <int width>
struct alignas(width * sizeof(Stored)) Values {
  Stored item[width];
};

template <int width>
__device__ __forceinline__ Values<width> load_values(const Stored* from) {
  return *reinterpret_cast<const Values<width>*>(from);
}

template <int width>
__device__ __forceinline__ void store_values(Stored* to, const float (&from)[width]) {
  Values<width> values;
#pragma unroll
  for (int k = 0; k < width; k++) values.item[k] = from_float(from[k]);
  *reinterpret_cast<Values<width>*>(to) = values;
}
