// The sum of a map's groups of channels, each channel times a weight of its own or not, and an activation: split
// attention (ResNeSt, selective kernels).
//
//   y[n,p,c] = activation(sum over r = 0 .. R-1 of w[n, r*C + c] * x[n,p, r*C + c])        p: position; w may be null
//
// Thread -> VECTOR neighbouring channels (16 bytes) of an output position, or one in the scalar form.
// Grid (ceil(P*C/width / 256), N), block 256. Bound by memory: weights come from the caches. The sum without weights is
// followed by a mean over all positions only, which could be taken first.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

template <int width>
__device__ __forceinline__ void radix_sum(const Stored* __restrict__ x, const Stored* __restrict__ w,
                                          Stored* __restrict__ y, unsigned vectors, int C, int R,
                                          const Activation& activation) {
  unsigned v = blockIdx.x * 256u + threadIdx.x;
  if (v >= vectors) return;
  unsigned of_pixel = C / width;
  size_t n = blockIdx.y, p = v / of_pixel, c = v % of_pixel * width, positions = vectors / of_pixel;
  const Stored* pixel = x + (n * positions + p) * R * C + c;
  float sum[width] = {};
  for (int r = 0; r < R; r++) {
    Values<width> values = load_values<width>(pixel + (size_t)r * C);
    if (w) {
      Values<width> weights = load_values<width>(w + (n * R + r) * C + c);
#pragma unroll
      for (int k = 0; k < width; k++) sum[k] += to_float(weights.item[k]) * to_float(values.item[k]);
    } else {
#pragma unroll
      for (int k = 0; k < width; k++) sum[k] += to_float(values.item[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < width; k++) sum[k] = activate(sum[k], activation);
  store_values<width>(y + (n * vectors + v) * width, sum);
}

#define RADIX_SUM(name, width)                                                                                         \
  extern "C" __global__ void __launch_bounds__(256)                                                                    \
      name(const Stored* x, const Stored* w, Stored* y, unsigned vectors, int C, int R, Activation activation) {       \
    radix_sum<width>(x, w, y, vectors, C, R, activation);                                                              \
  }                                                                                                                    \
  KERNEL(name)

RADIX_SUM(radix_sum_vector, VECTOR)
RADIX_SUM(radix_sum_scalar, 1)
