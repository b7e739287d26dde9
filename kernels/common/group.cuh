// One group of neighbouring channels of one image, NHWC, and the block that has it to itself: sums over the group.
//
// Thread t takes the group's vectors t, t + GROUP_THREADS, ... in the order of memory, `width` channels each. The order
// of additions depends on the group's size alone, so results do not change between runs, batches or devices.
#pragma once
#include "values.cuh"

constexpr int GROUP_THREADS = 256;
constexpr int SPAN = 32;  // vectors that a thread adds up before it adds them to its total: long sums round more

struct Group {
  int positions, C, channels;  // pixels of the image, all its channels, those of the group

  __device__ __forceinline__ int numbers() const { return positions * channels; }

  // Where vector i of the group lies, counted from the group's first number.
  template <int width> __device__ __forceinline__ size_t offset(int i) const {
    int vectors = channels / width;
    return (size_t)(i / vectors) * C + i % vectors * width;
  }

  // Its first channel within the group.
  template <int width> __device__ __forceinline__ int channel(int i) const { return i % (channels / width) * width; }
};

// Every thread gets the sum of all threads' values: a tree in shared memory.
__device__ __forceinline__ float block_sum(float value) {
  __shared__ float partial[GROUP_THREADS];
  int t = threadIdx.x;
  partial[t] = value;
#pragma unroll
  for (int half = GROUP_THREADS / 2; half > 0; half /= 2) {
    __syncthreads();  // the upper half has written what is added here
    if (t < half) partial[t] += partial[t + half];
  }
  __syncthreads();
  float sum = partial[0];
  __syncthreads();  // all have read it before the next sum overwrites it
  return sum;
}

// The sum of term(x) over all numbers of the group.
template <int width, class Term>
__device__ __forceinline__ float group_sum(const Stored* x, const Group& group, Term term) {
  int vectors = group.numbers() / width;
  float total = 0.f;
  for (int first = threadIdx.x; first < vectors; first += GROUP_THREADS * SPAN) {
    float sum = 0.f;
    int last = min(first + GROUP_THREADS * SPAN, vectors);
    for (int i = first; i < last; i += GROUP_THREADS) {
      Values<width> values = load_values<width>(x + group.offset<width>(i));
#pragma unroll
      for (int k = 0; k < width; k++) sum += term(to_float(values.item[k]));
    }
    total += sum;
  }
  return block_sum(total);
}

struct Itself {
  __device__ __forceinline__ float operator()(float x) const { return x; }
};

struct SquaredDistance {
  float mean;
  __device__ __forceinline__ float operator()(float x) const { return (x - mean) * (x - mean); }
};
