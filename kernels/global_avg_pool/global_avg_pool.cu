// Global average pool, NHWC: the float32 sum of each channel over the whole image, then one division.
//
//   y[n,c] = (sum over p = 0 .. positions-1 of x[n,p,c]) / positions        positions = H*W
//
// Block (16 channel vectors, image); thread (lane, row) sums the positions row, row + 16, row + 32, ... of its VECTOR
// channels (16 bytes; one channel in the scalar form): a half warp reads 256 bytes in one run. Then a tree over the 16
// rows in shared memory. The order of additions depends on nothing but `positions`, so results do not change between
// runs, batches or devices.
// Grid (ceil(C/width / 16), N), block (16, 16), shared 16 rows x 16 x width floats = 8 KiB at most.
//
// Bound by memory, and at batch 1 by latency: 2048 channels give 16 blocks only. Fused into the last convolution's
// epilogue, x would never be written.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"

constexpr int LANES = 16, ROWS = 16;

template <int width>
__device__ __forceinline__ void global_avg_pool(const Stored* __restrict__ x, Stored* __restrict__ y, int positions,
                                                int C) {
  __shared__ float partial[ROWS][width][LANES];
  int lane = threadIdx.x, row = threadIdx.y, c = (blockIdx.x * LANES + lane) * width;
  bool inside = c < C;
  const Stored* image = x + (size_t)blockIdx.y * positions * C;
  float sum[width] = {};
  for (int p = row; inside && p < positions; p += ROWS) {
    Values<width> values = load_values<width>(image + (size_t)p * C + c);
#pragma unroll
    for (int k = 0; k < width; k++) sum[k] += to_float(values.item[k]);
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
  if (row > 0 || !inside) return;
#pragma unroll
  for (int k = 0; k < width; k++) sum[k] = partial[0][k][lane] / (float)positions;
  store_values<width>(y + (size_t)blockIdx.y * C + c, sum);
}

#define GLOBAL_AVG_POOL(name, width)                                                                                  \
  extern "C" __global__ void __launch_bounds__(LANES * ROWS) name(const Stored* x, Stored* y, int positions, int C) { \
    global_avg_pool<width>(x, y, positions, C);                                                                       \
  }                                                                                                                   \
  KERNEL(name)

GLOBAL_AVG_POOL(global_avg_pool_vector, VECTOR)
GLOBAL_AVG_POOL(global_avg_pool_scalar, 1)
