// im2col: lay every window out as a row of a matrix, so that convolution becomes a matrix product (gemm.cu).
//
// Idea: copy now, compute regularly later. matrix (M, groups*K), a row for each output position, the groups' windows
//   beside each other:
//
//   matrix[m, g*K + k] = window[m, k] of group g,  K = KH*KW*C/groups        (window.cuh)
//
// Thread -> one number of the matrix, columns fastest: a warp writes 32 neighbours, and reads runs of C/groups
//   channels.
// Grid: M*groups*K / 256, rounded up.  Block: 256.  Shared: none.
//
// A 1x1 window with stride 1 and no padding needs none of this: x is the matrix. The launcher leaves the copy out.
//
// Still wasted: KH*KW copies of (nearly) every pixel, written to memory and read back, and the memory for them:
//   ResNet's first 3x3 layers at batch 32 take 231 MB each. tiled.cu makes the same numbers where they are needed.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
#include "window.cuh"

extern "C" __global__ void __launch_bounds__(256) im2col(const Stored* __restrict__ x, Stored* matrix, Conv conv) {
  const int K = conv.KH * conv.KW * (conv.C / conv.groups), columns = conv.groups * K;
  const size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (offset >= (size_t)conv.N * conv.OH * conv.OW * columns) return;
  const int column = offset % columns;
  matrix[offset] = window_at(x, conv, corner_of(offset / columns, conv), column / K, column % K);
}
KERNEL(im2col)
