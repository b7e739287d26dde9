// The end of a convolution whose K was split: adds the slices' sums, then runs the epilogue that they left out.
//
// Idea: at batch 1 a layer has fewer tiles than the device has multiprocessors. So its K products are cut into
//   slices, one a block, each of which leaves float32 sums in partial (splits, M, O); this kernel adds them.
//
//   y[m, o] = relu(bias[o] + residual[m, o] + sum over z = 0, 1, ... of partial[z, m, o])
//
// Always in that order, so that two runs give the same bits; atomic additions would not.
// Thread -> four neighbouring channels (16-byte loads) where O % 4 == 0, else one: the `_scalar` form.
// Grid: M*O / 4 / 256, rounded up.  Block: 256.  Shared: none.
//
// Still wasted: splits * M * O floats written and read back. The last block of a tile could add up what its neighbours
//   have just left in L2, at the price of a counter for each tile.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: LDG.E.128
#include "../common/conv.cuh"
#include "../common/epilogue.cuh"

extern "C" __global__ void __launch_bounds__(256)
split_k_reduce(const float* __restrict__ partial, const float* bias, const Stored* residual, Stored* y, Conv conv,
               int splits) {
  const size_t count = (size_t)conv.N * conv.OH * conv.OW * conv.O;
  const size_t offset = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * 4;
  if (offset >= count) return;
  float4 sum = *reinterpret_cast<const float4*>(partial + offset);
#pragma unroll 4
  for (int z = 1; z < splits; z++) {
    const float4 next = *reinterpret_cast<const float4*>(partial + z * count + offset);
    sum = make_float4(sum.x + next.x, sum.y + next.y, sum.z + next.z, sum.w + next.w);
  }
  finish(sum, offset % conv.O, offset, bias, residual, y, conv.activation);
}
KERNEL(split_k_reduce)

extern "C" __global__ void __launch_bounds__(256)
split_k_reduce_scalar(const float* __restrict__ partial, const float* bias, const Stored* residual, Stored* y,
                      Conv conv, int splits) {
  const size_t count = (size_t)conv.N * conv.OH * conv.OW * conv.O;
  const size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (offset >= count) return;
  float sum = partial[offset];
#pragma unroll 4
  for (int z = 1; z < splits; z++) sum += partial[z * count + offset];
  finish(sum, offset % conv.O, offset, bias, residual, y, conv.activation);
}
KERNEL(split_k_reduce_scalar)
