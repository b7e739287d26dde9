// The matrix product behind im2col: y = A * B^T with shared tiles, and the epilogue in the same pass.
//
// Idea: a block of 16x16 threads computes 16x16 outputs. For each slice of 16 products it first brings 16x16 numbers
//   of A and of B into shared memory, one of each by each thread, and then every thread reads the 16 + 16 that it
//   needs there. A number is fetched from memory once for 16 outputs, not once for each.
//
//   y[m, o] = relu(bias[o] + residual[m, o] + sum over k of A[m, g*K + k] * weight[o, k]),   g = o / (O/groups)
//   A (M, groups*K): im2col's matrix; weight (O, K) = (O, KH*KW*C/groups); y (M, O)
//
// Thread (x, y) -> output channel x, position y of the tile; it loads column x of row y of either tile, so that a half
//   warp reads 16 neighbouring words.
// Grid: x = M / 16, y = O/groups / 16, both rounded up; z = groups.  Block: 16 x 16.  Shared: 2 * 16*17*4 bytes.
// A tile's row has 17 words: `b[threadIdx.x][k]` of 16 neighbouring threads would lie in 2 banks with 16, with 17 it
//   lies in 16.
//
// Still wasted: two shared loads for one multiply-add, so that shared memory is the bound; registers.cu keeps 8x8
//   sums a thread. And the matrix A itself: tiled.cu.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: FFMA LDS STS
#include "../common/conv.cuh"
#include "../common/epilogue.cuh"

constexpr int TILE = 16;

extern "C" __global__ void __launch_bounds__(TILE * TILE)
gemm(const Stored* __restrict__ matrix, const Stored* __restrict__ weight, const float* bias, const Stored* residual,
     Stored* y, Conv conv) {
  __shared__ float a[TILE][TILE + 1], b[TILE][TILE + 1];
  const int K = conv.KH * conv.KW * (conv.C / conv.groups), M = conv.N * conv.OH * conv.OW;
  const int group = blockIdx.z, group_filters = conv.O / conv.groups;
  const int m = blockIdx.x * TILE + threadIdx.y;               // the row of A that this thread loads, and its output's
  const int loaded = blockIdx.y * TILE + threadIdx.y;          // the filter that it loads, in the group
  const int filter = blockIdx.y * TILE + threadIdx.x;          // the filter of its output, in the group
  const Stored* a_row = matrix + ((size_t)m * conv.groups + group) * K;
  const Stored* b_row = weight + (size_t)(group * group_filters + loaded) * K;

  float sum = 0.f;
  for (int first = 0; first < K; first += TILE) {
    const int k = first + threadIdx.x;
    a[threadIdx.y][threadIdx.x] = m < M && k < K ? to_float(a_row[k]) : 0.f;
    b[threadIdx.y][threadIdx.x] = loaded < group_filters && k < K ? to_float(b_row[k]) : 0.f;
    __syncthreads();  // the slice is complete
#pragma unroll
    for (int i = 0; i < TILE; i++) sum += a[threadIdx.y][i] * b[threadIdx.x][i];
    __syncthreads();  // everybody has read it
  }
  if (m >= M || filter >= group_filters) return;
  const int o = group * group_filters + filter;
  const size_t offset = (size_t)m * conv.O + o;
  finish(sum, o, offset, bias, residual, y, conv.activation);
}
KERNEL(gemm)
