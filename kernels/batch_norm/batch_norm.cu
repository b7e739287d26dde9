// BatchNorm at inference, where it could not be folded into a convolution: a line through every channel.
//
//   y[p,c] = activation(x[p,c] * scale[c] + shift[c])
//
//   scale = weight / sqrt(running_var + eps), shift = bias - running_mean * scale: worked out in float64 on the host
//
// Thread -> VECTOR neighbouring channels (16 bytes) of a pixel, or one in the scalar form.
// Grid ceil(count/width / 256), block 256; count = N*H*W*C. Bound by memory; folded into weights it costs nothing.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

template <int width>
__device__ __forceinline__ void batch_norm(const Stored* __restrict__ x, const float* __restrict__ scale,
                                           const float* __restrict__ shift, Stored* __restrict__ y, unsigned vectors,
                                           int C, const Activation& activation) {
  unsigned v = blockIdx.x * 256u + threadIdx.x;
  if (v >= vectors) return;
  int c = v % (unsigned)(C / width) * width;
  Values<width> values = load_values<width>(x + (size_t)v * width);
  float line[width];
#pragma unroll
  for (int k = 0; k < width; k++)
    line[k] = activate(to_float(values.item[k]) * scale[c + k] + shift[c + k], activation);
  store_values<width>(y + (size_t)v * width, line);
}

#define BATCH_NORM(name, width)                                                                                     \
  extern "C" __global__ void __launch_bounds__(256)                                                                 \
      name(const Stored* x, const float* scale, const float* shift, Stored* y, unsigned vectors, int C,             \
           Activation activation) {                                                                                 \
    batch_norm<width>(x, scale, shift, y, vectors, C, activation);                                                  \
  }                                                                                                                 \
  KERNEL(name)

BATCH_NORM(batch_norm_vector, VECTOR)
BATCH_NORM(batch_norm_scalar, 1)
