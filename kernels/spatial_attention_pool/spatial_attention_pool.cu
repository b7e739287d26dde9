// Spatial attention pool, NHWC: a mean over all positions, weighted by a softmax of one logit a position (global context).
//
//   y[n,c] = (sum over p of e[p] * x[n,p,c]) / (sum over p of e[p])        e[p] = exp(logits[n,p] - max over q of logits[n,q])
//
// Block (16 channel vectors, image); thread (lane, row) sums the positions row, row + 16, ... of its VECTOR channels (16
// bytes; one channel in the scalar form), and their e as well, as in global_avg_pool.cu; then trees over the 16 rows in
// shared memory. The order of additions depends on nothing but `positions`.
// Grid (ceil(C/width / 16), N), block (16, 16), shared 16 rows x 16 x (width + 1) floats = 9 KiB at most.
//
// Bound by memory. It wastes: every lane computes the exponentials of its row again, every block those of its image.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128 MUFU.EX2
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"

constexpr int LANES = 16, ROWS = 16;

// The largest logit of the image, which every thread gets: all of a warp read the same ones.
__device__ __forceinline__ float largest_of(const Stored* logits, int positions, float (&shared)[ROWS][LANES]) {
  int thread = threadIdx.y * LANES + threadIdx.x;
  float largest = __uint_as_float(0xFF800000u);  // -infinity
  for (int p = thread; p < positions; p += LANES * ROWS) largest = larger_or_nan(largest, to_float(logits[p]));
  shared[threadIdx.y][threadIdx.x] = largest;
  __syncthreads();  // all have written
  for (int row = 0; row < ROWS; row++) largest = larger_or_nan(largest, shared[row][threadIdx.x]);
  __syncthreads();  // all columns are read
  shared[threadIdx.y][threadIdx.x] = largest;
  __syncthreads();  // each row holds the largest of every column
  for (int lane = 0; lane < LANES; lane++) largest = larger_or_nan(largest, shared[threadIdx.y][lane]);
  __syncthreads();  // the weights' sums go where the logits are
  return largest;
}

template <int width>
__device__ __forceinline__ void spatial_attention_pool(const Stored* __restrict__ x, const Stored* __restrict__ logits,
                                                       Stored* __restrict__ y, int positions, int C) {
  __shared__ float partial[ROWS][width][LANES];
  __shared__ float weights[ROWS][LANES];
  int lane = threadIdx.x, row = threadIdx.y, c = (blockIdx.x * LANES + lane) * width;
  bool inside = c < C;
  const Stored* image = x + (size_t)blockIdx.y * positions * C;
  logits += (size_t)blockIdx.y * positions;
  float largest = largest_of(logits, positions, weights);

  float sum[width] = {}, weight = 0.f;
  for (int p = row; p < positions; p += ROWS) {
    float e = expf(to_float(logits[p]) - largest);
    weight += e;
    if (!inside) continue;
    Values<width> values = load_values<width>(image + (size_t)p * C + c);
#pragma unroll
    for (int k = 0; k < width; k++) sum[k] += e * to_float(values.item[k]);
  }
  weights[row][lane] = weight;
#pragma unroll
  for (int k = 0; k < width; k++) partial[row][k][lane] = sum[k];

#pragma unroll
  for (int half = ROWS / 2; half > 0; half /= 2) {
    __syncthreads();  // the rows below have written what is added here
    if (row < half) {
      weights[row][lane] += weights[row + half][lane];
#pragma unroll
      for (int k = 0; k < width; k++) partial[row][k][lane] += partial[row + half][k][lane];
    }
  }
  if (row > 0 || !inside) return;
#pragma unroll
  for (int k = 0; k < width; k++) sum[k] = partial[0][k][lane] / weights[0][lane];
  store_values<width>(y + (size_t)blockIdx.y * C + c, sum);
}

#define SPATIAL_ATTENTION_POOL(name, width)                                       \
  extern "C" __global__ void __launch_bounds__(LANES * ROWS)                      \
      name(const Stored* x, const Stored* logits, Stored* y, int positions, int C) { \
    spatial_attention_pool<width>(x, logits, y, positions, C);                    \
  }                                                                               \
  KERNEL(name)

SPATIAL_ATTENTION_POOL(spatial_attention_pool_vector, VECTOR)
SPATIAL_ATTENTION_POOL(spatial_attention_pool_scalar, 1)
