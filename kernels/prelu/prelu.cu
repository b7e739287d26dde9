// PReLU: negative values times a slope that was learned for their channel.
//
//   y[p,c] = activation(x[p,c] < 0 ? x[p,c] * slopes[c] : x[p,c]); NaN stays NaN
//
// Thread -> VECTOR neighbouring channels (16 bytes) of a pixel, or one in the scalar form.
// Grid ceil(count/width / 256), block 256; count = N*H*W*C. Bound by memory; in the epilogue of the convolution before
// it, it would cost nothing.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

template <int width>
__device__ __forceinline__ void prelu(const Stored* __restrict__ x, const float* __restrict__ slopes,
                                      Stored* __restrict__ y, unsigned vectors, int C, const Activation& activation) {
  unsigned v = blockIdx.x * 256u + threadIdx.x;
  if (v >= vectors) return;
  int c = v % (unsigned)(C / width) * width;
  Values<width> values = load_values<width>(x + (size_t)v * width);
  float result[width];
#pragma unroll
  for (int k = 0; k < width; k++) {
    float value = to_float(values.item[k]);
    result[k] = activate(value < 0.f ? value * slopes[c + k] : value, activation);
  }
  store_values<width>(y + (size_t)v * width, result);
}

#define PRELU(name, width)                                                                                           \
  extern "C" __global__ void __launch_bounds__(256)                                                                  \
      name(const Stored* x, const float* slopes, Stored* y, unsigned vectors, int C, Activation activation) {        \
    prelu<width>(x, slopes, y, vectors, C, activation);                                                              \
  }                                                                                                                  \
  KERNEL(name)

PRELU(prelu_vector, VECTOR)
PRELU(prelu_scalar, 1)
