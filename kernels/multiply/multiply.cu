// The product of a map with another or with one number a channel, as squeeze-and-excitation has it, and an activation.
//
//   y[n,p,c] = activation(a[n,p,c] * b[n,c])        p: position; two maps are one position of as many channels
//
// Thread -> VECTOR neighbouring channels (16 bytes) of a position, or one in the scalar form.
// Grid (ceil(P*C/width / 256), N), block 256. Bound by memory: b is read once for each position, from the caches. The
// convolution that reads y could multiply while it loads a.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

template <int width>
__device__ __forceinline__ void multiply(const Stored* __restrict__ a, const Stored* __restrict__ b,
                                         Stored* __restrict__ y, unsigned vectors, unsigned C,
                                         const Activation& activation) {
  unsigned v = blockIdx.x * 256u + threadIdx.x;
  if (v >= vectors) return;
  size_t i = ((size_t)blockIdx.y * vectors + v) * width;
  unsigned c = v % (C / width) * width;
  Values<width> left = load_values<width>(a + i), right = load_values<width>(b + (size_t)blockIdx.y * C + c);
  float product[width];
#pragma unroll
  for (int k = 0; k < width; k++)
    product[k] = activate(to_float(left.item[k]) * to_float(right.item[k]), activation);
  store_values<width>(y + i, product);
}

#define MULTIPLY(name, width)                                                                                  \
  extern "C" __global__ void __launch_bounds__(256)                                                            \
      name(const Stored* a, const Stored* b, Stored* y, unsigned vectors, unsigned C, Activation activation) { \
    multiply<width>(a, b, y, vectors, C, activation);                                                          \
  }                                                                                                            \
  KERNEL(name)

MULTIPLY(multiply_vector, VECTOR)
MULTIPLY(multiply_scalar, 1)
