// Implicit GEMM with shared tiles: the product of gemm.cu without the matrix of im2col.cu.
//
// Idea: the number that gemm.cu would load from the matrix, window[m, k], is found in x by its address. A tile of the
//   matrix exists in shared memory only, for the time of 16 or 32 products.
//
//   y[m, o] = relu(bias[o] + residual[m, o] + sum over k of window[m, k] * weight[o, k])        (window.cuh)
//
// Thread (x, y) -> output channel x, position y of the tile; it loads column x of row y of either tile: neighbours read
//   neighbouring channels of a pixel, and neighbouring words of a filter.
// Grid: x = M / TILE, y = O/groups / TILE, both rounded up; z = groups.  Block: TILE x TILE.
// Shared: 2 * TILE*(TILE + 1)*4 bytes. The word added to a row puts the column `filters[0..TILE][k]` into different
//   banks.
//
// TILE 32 halves the traffic of TILE 16; TILE 16 has four times the blocks, for small layers.
//
// Still wasted: two shared loads for one multiply-add; three divisions for each number of x; while a slice is loaded
//   nobody multiplies. registers.cu mends all three.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: FFMA LDS STS
#include "../common/epilogue.cuh"
#include "window.cuh"

template <int TILE>
__device__ __forceinline__ void tiled(const Stored* __restrict__ x, const Stored* __restrict__ weight,
                                      const float* bias, const Stored* residual, Stored* y, const Conv& conv) {
  __shared__ float windows[TILE][TILE + 1], filters[TILE][TILE + 1];
  const int K = conv.KH * conv.KW * (conv.C / conv.groups), M = conv.N * conv.OH * conv.OW;
  const int group = blockIdx.z, group_filters = conv.O / conv.groups;
  const int m = blockIdx.x * TILE + threadIdx.y;               // the window that this thread loads, and its output's
  const int loaded = blockIdx.y * TILE + threadIdx.y;          // the filter that it loads, in the group
  const int filter = blockIdx.y * TILE + threadIdx.x;          // the filter of its output, in the group
  const Corner corner = corner_of(m, conv);
  const Stored* row = weight + (size_t)(group * group_filters + loaded) * K;

  float sum = 0.f;
  for (int first = 0; first < K; first += TILE) {
    const int k = first + threadIdx.x;
    windows[threadIdx.y][threadIdx.x] = m < M && k < K ? to_float(window_at(x, conv, corner, group, k)) : 0.f;
    filters[threadIdx.y][threadIdx.x] = loaded < group_filters && k < K ? to_float(row[k]) : 0.f;
    __syncthreads();  // the slice is complete
#pragma unroll
    for (int i = 0; i < TILE; i++) sum += windows[threadIdx.y][i] * filters[threadIdx.x][i];
    __syncthreads();  // everybody has read it
  }
  if (m >= M || filter >= group_filters) return;
  const int o = group * group_filters + filter;
  const size_t offset = (size_t)m * conv.O + o;
  finish(sum, o, offset, bias, residual, y, conv.activation);
}

#define TILED(TILE)                                                                                                   \
  extern "C" __global__ void __launch_bounds__(TILE * TILE)                                                           \
  conv2d_tiled_##TILE(const Stored* __restrict__ x, const Stored* __restrict__ weight, const float* bias,             \
                      const Stored* residual, Stored* y, Conv conv) {                                                 \
    tiled<TILE>(x, weight, bias, residual, y, conv);                                                                  \
  }                                                                                                                   \
  KERNEL(conv2d_tiled_##TILE)
TILED(16)
TILED(32)
