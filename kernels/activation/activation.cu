// An activation alone: where no kernel before it could take it in.
//
//   y[i] = activation(x[i]); NaN stays NaN
//
// Thread -> VECTOR neighbouring values (16 bytes), or one in the scalar form. Grid ceil(count/width / 256), block 256.
// Bound by memory. In the epilogue of the kernel that makes x it would save reading and writing x. y may be x.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

template <int width>
__device__ __forceinline__ void apply(const Stored* x, Stored* y, size_t count, const Activation& activation) {
  size_t i = ((size_t)blockIdx.x * 256 + threadIdx.x) * width;
  if (i >= count) return;
  Values<width> values = load_values<width>(x + i);
  float result[width];
#pragma unroll
  for (int k = 0; k < width; k++) result[k] = activate(to_float(values.item[k]), activation);
  store_values<width>(y + i, result);
}

#define ACTIVATION(name, width)                                                           \
  extern "C" __global__ void __launch_bounds__(256)                                       \
      name(const Stored* x, Stored* y, unsigned long long count, Activation activation) { \
    apply<width>(x, y, count, activation);                                                \
  }                                                                                       \
  KERNEL(name)

ACTIVATION(activation_vector, VECTOR)
ACTIVATION(activation_scalar, 1)
