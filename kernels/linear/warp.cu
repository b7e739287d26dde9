// Fully connected, a warp for each output: for few images, where the weights are all there is to read.
//
//   y[n,o] = activation(bias[o] + sum over c of weight[o,c] * x[n,c])
//
// x (N, C) and weight (O, C) as stored, bias (O,) and y (N, O) float32.
// Lane l takes the vectors l, l + 32, ... of 16 bytes of one row of weight, so that a warp reads 512 bytes in one run;
// then the lanes' sums are added by a tree of shuffles. The scalar form takes any C.
// Grid (ceil(O/4), N), block (32, 4): the four warps take neighbouring outputs. No shared memory.
//
// Bound by reading the weights once. Every further image reads them again, from L2: linear/tile.cu and linear/mma.cu
// use each of them for a whole tile of images.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: LDG.E.128 SHFL.BFLY
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

constexpr int WARPS = 4;

template <int width>
__device__ __forceinline__ void linear_warp(const Stored* __restrict__ x, const Stored* __restrict__ weight,
                                            const float* __restrict__ bias, float* __restrict__ y, int C, int O,
                                            const Activation& activation) {
  int n = blockIdx.y, o = blockIdx.x * WARPS + threadIdx.y;
  if (o >= O) return;  // the whole warp, so the shuffles below are complete
  const Stored *image = x + (size_t)n * C, *row = weight + (size_t)o * C;
  float sum = 0.f;
#pragma unroll 4
  for (int c = threadIdx.x * width; c < C; c += 32 * width) {
    Values<width> a = load_values<width>(image + c), b = load_values<width>(row + c);
#pragma unroll
    for (int k = 0; k < width; k++) sum += to_float(a.item[k]) * to_float(b.item[k]);
  }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += shuffle_xor(sum, lanes);
  if (threadIdx.x > 0) return;
  sum += bias[o];
  y[(size_t)n * O + o] = activate(sum, activation);
}

#define LINEAR_WARP(name, width)                                                             \
  extern "C" __global__ void __launch_bounds__(32 * WARPS)                                   \
      name(const Stored* x, const Stored* weight, const float* bias, float* y, int C, int O, \
           Activation activation) {                                                          \
    linear_warp<width>(x, weight, bias, y, C, O, activation);                                \
  }                                                                                          \
  KERNEL(name)

LINEAR_WARP(linear_warp_vector, VECTOR)
LINEAR_WARP(linear_warp_scalar, 1)
