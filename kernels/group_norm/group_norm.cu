// GroupNorm, NHWC: each group of channels of each image, normalised by its own mean and variance.
//
//   y[n,p,c] = activation((x[n,p,c] - mean[n,g]) / sqrt(var[n,g] + eps) * weight[c] + bias[c] + residual[n,p,c])
//
//   g = c / (C/G). residual may be null.
//
// Block (group, image): a pass for the mean, one for the squared distances from it, one for the result; the second and
// the third find x in the L2 cache. Instance norm is G = C, the layer norm of pooled values G = 1.
// Grid (G, N), block 256, shared 1 KiB. Vectors of 16 bytes where the channels of a group are whole ones.
//
// Bound by memory, and at batch 1 by latency: 32 groups keep 32 multiprocessors busy. Where a group has fewer than 32
// bytes of a pixel, its neighbours read the rest of the sector again. Sums in the epilogue of the convolution that makes
// x would save two of the three reads.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/group.cuh"

template <int width>
__device__ __forceinline__ void group_norm(const Stored* __restrict__ x, const float* __restrict__ weight,
                                           const float* __restrict__ bias, const Stored* __restrict__ residual,
                                           Stored* __restrict__ y, const Group& group, float eps,
                                           const Activation& activation) {
  int first = blockIdx.x * group.channels;
  size_t start = (size_t)blockIdx.y * group.positions * group.C + first;
  float count = (float)group.numbers();
  float mean = group_sum<width>(x + start, group, Itself()) / count;
  float variance = group_sum<width>(x + start, group, SquaredDistance{mean}) / count;
  float inverse = 1.f / sqrtf(variance + eps);
#pragma unroll 1
  for (int i = threadIdx.x; i < group.numbers() / width; i += GROUP_THREADS) {
    size_t at = start + group.offset<width>(i);
    int c = first + group.channel<width>(i);
    Values<width> values = load_values<width>(x + at);
    float result[width];
#pragma unroll
    for (int k = 0; k < width; k++) {
      float normal = (to_float(values.item[k]) - mean) * inverse;
      result[k] = normal * weight[c + k] + bias[c + k];
    }
    if (residual) {
      Values<width> added = load_values<width>(residual + at);
#pragma unroll
      for (int k = 0; k < width; k++) result[k] += to_float(added.item[k]);
    }
#pragma unroll
    for (int k = 0; k < width; k++) result[k] = activate(result[k], activation);
    store_values<width>(y + at, result);
  }
}

#define GROUP_NORM(name, width)                                                                                     \
  extern "C" __global__ void __launch_bounds__(GROUP_THREADS)                                                       \
      name(const Stored* x, const float* weight, const float* bias, const Stored* residual, Stored* y,              \
           int positions, int C, int channels, float eps, Activation activation) {                                  \
    group_norm<width>(x, weight, bias, residual, y, Group{positions, C, channels}, eps, activation);                \
  }                                                                                                                 \
  KERNEL(name)

GROUP_NORM(group_norm_vector, VECTOR)
GROUP_NORM(group_norm_scalar, 1)
