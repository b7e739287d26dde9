// From NCHW float32 to stored NHWC and back: images on their way in, features on their way out.
//
//   nchw_to_nhwc_*:  y[n,p,c] = c < C ? x[n,c,p] : 0      x (N, C, L) float32, y (N, L, P) stored
//   nhwc_to_nchw:    y[n,c,p] = x[n,p,c]                  x (N, L, P) stored, y (N, C, L) float32
//
// L = H*W positions; P >= C channels lie in memory: those from C on are zeros on the way in, left out on the way out.
//
// pixel_4, pixel_8 (P = 4, 8: images): thread -> one pixel. A warp reads every plane, and writes its pixels, in one run
// already. Grid (ceil(L/256), N), block 256.
// tile: 32 positions x 32 channels through shared memory, so that reading and writing both run along memory; rows of 33
// keep the column's reads in different banks. Grid (ceil(L/32), ceil(P/32), N), block (32, 8), shared 4.1 KiB.
//
// Bound by memory; the tile form stores 2 bytes a thread where 16 are possible.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"

constexpr int TILE = 32, ROWS = 8;

template <int padded>
__device__ __forceinline__ void nchw_to_nhwc_pixel(const float* __restrict__ x, Stored* __restrict__ y, int C, int L) {
  int p = blockIdx.x * 256 + threadIdx.x, n = blockIdx.y;
  if (p >= L) return;
  float pixel[padded];
#pragma unroll
  for (int c = 0; c < padded; c++) pixel[c] = c < C ? x[((size_t)n * C + c) * L + p] : 0.f;
  constexpr int width = padded < VECTOR ? padded : VECTOR;
#pragma unroll
  for (int c = 0; c < padded; c += width) {
    float part[width];
#pragma unroll
    for (int k = 0; k < width; k++) part[k] = pixel[c + k];
    store_values<width>(y + ((size_t)n * L + p) * padded + c, part);
  }
}

#define NCHW_TO_NHWC_PIXEL(name, padded)                                                            \
  extern "C" __global__ void __launch_bounds__(256) name(const float* x, Stored* y, int C, int L) { \
    nchw_to_nhwc_pixel<padded>(x, y, C, L);                                                         \
  }                                                                                                 \
  KERNEL(name)

NCHW_TO_NHWC_PIXEL(nchw_to_nhwc_pixel_4, 4)
NCHW_TO_NHWC_PIXEL(nchw_to_nhwc_pixel_8, 8)

extern "C" __global__ void __launch_bounds__(TILE * ROWS)
    nchw_to_nhwc_tile(const float* __restrict__ x, Stored* __restrict__ y, int C, int L, int P) {
  __shared__ float tile[TILE][TILE + 1];
  int n = blockIdx.z, first_p = blockIdx.x * TILE, first_c = blockIdx.y * TILE;
#pragma unroll
  for (int row = threadIdx.y; row < TILE; row += ROWS) {
    int c = first_c + row, p = first_p + threadIdx.x;
    tile[row][threadIdx.x] = c < C && p < L ? x[((size_t)n * C + c) * L + p] : 0.f;
  }
  __syncthreads();
#pragma unroll
  for (int row = threadIdx.y; row < TILE; row += ROWS) {
    int p = first_p + row, c = first_c + threadIdx.x;
    if (p < L && c < P) y[((size_t)n * L + p) * P + c] = from_float(tile[threadIdx.x][row]);
  }
}
KERNEL(nchw_to_nhwc_tile)

extern "C" __global__ void __launch_bounds__(TILE * ROWS)
    nhwc_to_nchw(const Stored* __restrict__ x, float* __restrict__ y, int C, int L, int P) {
  __shared__ float tile[TILE][TILE + 1];
  int n = blockIdx.z, first_p = blockIdx.x * TILE, first_c = blockIdx.y * TILE;
#pragma unroll
  for (int row = threadIdx.y; row < TILE; row += ROWS) {
    int p = first_p + row, c = first_c + threadIdx.x;
    tile[row][threadIdx.x] = p < L && c < C ? to_float(x[((size_t)n * L + p) * P + c]) : 0.f;
  }
  __syncthreads();
#pragma unroll
  for (int row = threadIdx.y; row < TILE; row += ROWS) {
    int c = first_c + row, p = first_p + threadIdx.x;
    if (c < C && p < L) y[((size_t)n * C + c) * L + p] = tile[threadIdx.x][row];
  }
}
KERNEL(nhwc_to_nchw)
