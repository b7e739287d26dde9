// The numbers of one pool, and which output a thread computes. npresnet/cuda/shapes.py packs the same fields.
#pragma once

struct Pool {
  int N, H, W, C;
  int OH, OW;
  int KH, KW;
  int stride_h, stride_w;
  int padding_h, padding_w;
  int dilation_h, dilation_w;
  int include_padding;  // avg_pool2d: 1 counts the positions in the padding, too
};

// Block (n*OH + i, chunk of the row): neighbouring threads take neighbouring channels, then neighbouring columns, so a
// warp reads and writes one run of memory.
struct PoolOutput {
  int n, i, j, c;
  bool inside;

  __device__ __forceinline__ PoolOutput(const Pool& pool, int width) {
    int in_row = blockIdx.y * blockDim.x + threadIdx.x;
    int vectors = pool.C / width;
    n = blockIdx.x / pool.OH;
    i = blockIdx.x % pool.OH;
    j = in_row / vectors;
    c = in_row % vectors * width;
    inside = j < pool.OW;
  }

  __device__ __forceinline__ size_t offset(const Pool& pool) const {
    return ((size_t)(n * pool.OH + i) * pool.OW + j) * pool.C + c;
  }
};

// Where x[n, h, w, c] lies.
__device__ __forceinline__ size_t pool_input(const Pool& pool, int n, int h, int w, int c) {
  return ((size_t)(n * pool.H + h) * pool.W + w) * pool.C + c;
}
