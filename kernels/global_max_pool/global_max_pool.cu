// Global max pool, NHWC: the largest number of each channel over the whole image.
//
//   y[n,c] = max over p = 0 .. positions-1 of x[n,p,c]        positions = H*W; NaN wins
//
// Block (16 channel vectors, image); thread (lane, row) takes the positions row, row + 16, row + 32, ... of its VECTOR
// channels (16 bytes; one channel in the scalar form), as in global_avg_pool.cu. Then a tree over the 16 rows in shared
// memory.
// Grid (ceil(C/width / 16), N), block (16, 16), shared 16 rows x 16 x width floats = 8 KiB at most. Bound by memory.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"

constexpr int LANES = 16, ROWS = 16;

template <int width>
__device__ __forceinline__ void global_max_pool(const Stored* __restrict__ x, Stored* __restrict__ y, int positions,
                                                int C) {
  __shared__ float partial[ROWS][width][LANES];
  int lane = threadIdx.x, row = threadIdx.y, c = (blockIdx.x * LANES + lane) * width;
  bool inside = c < C;
  const Stored* image = x + (size_t)blockIdx.y * positions * C;

  float best[width];
#pragma unroll
  for (int k = 0; k < width; k++) best[k] = __uint_as_float(0xFF800000u);  // -infinity
  for (int p = row; inside && p < positions; p += ROWS) take_larger<width>(best, image + (size_t)p * C + c);
#pragma unroll
  for (int k = 0; k < width; k++) partial[row][k][lane] = best[k];

#pragma unroll
  for (int half = ROWS / 2; half > 0; half /= 2) {
    __syncthreads();  // the rows below have written what is compared here
    if (row < half)
#pragma unroll
      for (int k = 0; k < width; k++)
        partial[row][k][lane] = larger_or_nan(partial[row][k][lane], partial[row + half][k][lane]);
  }
  if (row > 0 || !inside) return;
#pragma unroll
  for (int k = 0; k < width; k++) best[k] = partial[0][k][lane];
  store_values<width>(y + (size_t)blockIdx.y * C + c, best);
}

#define GLOBAL_MAX_POOL(name, width)                                                                                  \
  extern "C" __global__ void __launch_bounds__(LANES * ROWS) name(const Stored* x, Stored* y, int positions, int C) { \
    global_max_pool<width>(x, y, positions, C);                                                                       \
  }                                                                                                                   \
  KERNEL(name)

GLOBAL_MAX_POOL(global_max_pool_vector, VECTOR)
GLOBAL_MAX_POOL(global_max_pool_scalar, 1)
