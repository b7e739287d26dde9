// Neighbouring channels moved by one instruction: 16 bytes where the channels allow it, one value where they do not.
// A kernel is written once as a template of the width and compiled for both: <name>_vector and <name>_scalar.
#pragma once
#include "elements.cuh"

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

// best = max(best, from), number by number. NaN wins: once it is there, no comparison replaces it.
template <int width>
__device__ __forceinline__ void take_larger(float (&best)[width], const Stored* from) {
  const Values<width> values = load_values<width>(from);
#pragma unroll
  for (int k = 0; k < width; k++) {
    const float value = to_float(values.item[k]);
    best[k] = value > best[k] || value != value ? value : best[k];
  }
}
