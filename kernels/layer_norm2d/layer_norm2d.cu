// LayerNorm of a map, NHWC: every pixel normalised over its channels.
//
//   y[p,c] = activation((x[p,c] - mean[p]) / sqrt(var[p] + eps) * weight[c] + bias[c])        p counts pixels of all images
//
// Warp -> one pixel: lane l takes the channel vectors l, l + 32, ... (16 bytes; one channel in the scalar form), in a
// pass for the mean, one for the squared distances and one for the result; the last two find the pixel in L1.
// Grid ceil(pixels / 8), block (32, 8), no shared memory. Bound by memory; with fewer than 32 vectors lanes are idle.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128 SHFL.BFLY
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

constexpr int PIXELS = 8;

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) value += shuffle_xor(value, lanes);
  return value;
}

template <int width>
__device__ __forceinline__ void layer_norm2d(const Stored* __restrict__ x, const float* __restrict__ weight,
                                             const float* __restrict__ bias, Stored* __restrict__ y, unsigned pixels,
                                             int C, float eps, const Activation& activation) {
  unsigned pixel = blockIdx.x * PIXELS + threadIdx.y;
  if (pixel >= pixels) return;  // the whole warp
  size_t start = (size_t)pixel * C;
  float mean = 0.f, variance = 0.f;
  for (int c = threadIdx.x * width; c < C; c += 32 * width) {
    Values<width> values = load_values<width>(x + start + c);
#pragma unroll
    for (int k = 0; k < width; k++) mean += to_float(values.item[k]);
  }
  mean = warp_sum(mean) / (float)C;
  for (int c = threadIdx.x * width; c < C; c += 32 * width) {
    Values<width> values = load_values<width>(x + start + c);
#pragma unroll
    for (int k = 0; k < width; k++) {
      float distance = to_float(values.item[k]) - mean;
      variance += distance * distance;
    }
  }
  float inverse = 1.f / sqrtf(warp_sum(variance) / (float)C + eps);
#pragma unroll 1
  for (int c = threadIdx.x * width; c < C; c += 32 * width) {
    Values<width> values = load_values<width>(x + start + c);
    float result[width];
#pragma unroll
    for (int k = 0; k < width; k++) {
      float normal = (to_float(values.item[k]) - mean) * inverse;
      result[k] = activate(normal * weight[c + k] + bias[c + k], activation);
    }
    store_values<width>(y + start + c, result);
  }
}

#define LAYER_NORM2D(name, width)                                                                                  \
  extern "C" __global__ void __launch_bounds__(32 * PIXELS)                                                        \
      name(const Stored* x, const float* weight, const float* bias, Stored* y, unsigned pixels, int C, float eps,  \
           Activation activation) {                                                                                \
    layer_norm2d<width>(x, weight, bias, y, pixels, C, eps, activation);                                           \
  }                                                                                                                \
  KERNEL(name)

LAYER_NORM2D(layer_norm2d_vector, VECTOR)
LAYER_NORM2D(layer_norm2d_scalar, 1)
