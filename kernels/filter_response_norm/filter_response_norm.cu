// Filter response norm, NHWC: each channel of each image divided by its root mean square, and clamped at tau.
//
//   y[n,p,c] = activation(max(x[n,p,c] / sqrt(nu[n,c] + eps) * weight[c] + bias[c], tau[c]))
//   nu[n,c] = (sum over p of x[n,p,c]^2) / positions        tau may be null: then nothing is clamped
//
// Block (16 channel vectors, image), a pass for the squares and one for the result; thread (lane, row) takes the
// positions row, row + 16, ... of its VECTOR channels (16 bytes; one channel in the scalar form), then a tree over the
// rows in shared memory. The order of additions depends on nothing but `positions`.
// Grid (ceil(C/width / 16), N), block (16, 16), shared 16 rows x 16 x width floats = 8 KiB at most.
//
// Bound by memory, and at batch 1 by latency: 64 channels are one block or two.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

constexpr int LANES = 16, ROWS = 16;

template <int width>
__device__ __forceinline__ void filter_response_norm(const Stored* __restrict__ x, const float* __restrict__ weight,
                                                     const float* __restrict__ bias, const float* __restrict__ tau,
                                                     Stored* __restrict__ y, int positions, int C, float eps,
                                                     const Activation& activation) {
  __shared__ float partial[ROWS][width][LANES];
  int lane = threadIdx.x, row = threadIdx.y, c = (blockIdx.x * LANES + lane) * width;
  bool inside = c < C;
  size_t start = (size_t)blockIdx.y * positions * C + c;
  float sum[width] = {};
  for (int p = row; inside && p < positions; p += ROWS) {
    Values<width> values = load_values<width>(x + start + (size_t)p * C);
#pragma unroll
    for (int k = 0; k < width; k++) sum[k] += to_float(values.item[k]) * to_float(values.item[k]);
  }
#pragma unroll
  for (int k = 0; k < width; k++) partial[row][k][lane] = sum[k];
#pragma unroll
  for (int half = ROWS / 2; half > 0; half /= 2) {
    __syncthreads();  // the rows below have written what is added here
    if (row < half)
#pragma unroll
      for (int k = 0; k < width; k++) partial[row][k][lane] += partial[row + half][k][lane];
  }
  __syncthreads();
  if (!inside) return;
#pragma unroll
  for (int k = 0; k < width; k++) sum[k] = 1.f / sqrtf(partial[0][k][lane] / (float)positions + eps);
#pragma unroll 1
  for (int p = row; p < positions; p += ROWS) {
    size_t at = start + (size_t)p * C;
    Values<width> values = load_values<width>(x + at);
    float result[width];
#pragma unroll
    for (int k = 0; k < width; k++) {
      float value = to_float(values.item[k]) * sum[k] * weight[c + k] + bias[c + k];
      if (tau) value = value < tau[c + k] ? tau[c + k] : value;  // NaN stays NaN
      result[k] = activate(value, activation);
    }
    store_values<width>(y + at, result);
  }
}

// 4 blocks a multiprocessor leave a thread 64 registers. Left to itself, ptxas saves them until it spills.
#define FILTER_RESPONSE_NORM(name, width)                                                                         \
  extern "C" __global__ void __launch_bounds__(LANES * ROWS, 4)                                                   \
      name(const Stored* x, const float* weight, const float* bias, const float* tau, Stored* y, int positions,   \
           int C, float eps, Activation activation) {                                                             \
    filter_response_norm<width>(x, weight, bias, tau, y, positions, C, eps, activation);                          \
  }                                                                                                               \
  KERNEL(name)

FILTER_RESPONSE_NORM(filter_response_norm_vector, VECTOR)
FILTER_RESPONSE_NORM(filter_response_norm_scalar, 1)
