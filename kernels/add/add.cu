// The sum of two tensors, and an activation: a shortcut that no convolution's epilogue could take in.
//
//   y[i] = activation(a[i] + b[i])
//
// Thread -> VECTOR neighbouring values (16 bytes), or one in the scalar form. Grid ceil(count/width / 256), block 256.
// Bound by memory. In a convolution's epilogue it costs one read less and one launch less.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

template <int width>
__device__ __forceinline__ void add(const Stored* __restrict__ a, const Stored* __restrict__ b, Stored* __restrict__ y,
                                    size_t count, const Activation& activation) {
  size_t i = ((size_t)blockIdx.x * 256 + threadIdx.x) * width;
  if (i >= count) return;
  Values<width> left = load_values<width>(a + i), right = load_values<width>(b + i);
  float sum[width];
#pragma unroll
  for (int k = 0; k < width; k++)
    sum[k] = activate(to_float(left.item[k]) + to_float(right.item[k]), activation);
  store_values<width>(y + i, sum);
}

#define ADD(name, width)                                                                                     \
  extern "C" __global__ void __launch_bounds__(256)                                                          \
      name(const Stored* a, const Stored* b, Stored* y, unsigned long long count, Activation activation) {   \
    add<width>(a, b, y, count, activation);                                                                  \
  }                                                                                                          \
  KERNEL(name)

ADD(add_vector, VECTOR)
ADD(add_scalar, 1)
