// Convolution as a matrix product on Hopper's tensor cores: warpgroups multiply straight out of shared memory.
//
//   y[m, o] = relu(bias[o] + residual[m, o] + sum over k of  x_im2col[m, k] * weight[o, k])       k = (r*KW + s)*C + c
//
// Idea: mma.sync makes each warp load its operands into registers first, and a warp's tile is so small that shared
// memory's bandwidth runs out before the tensor core's. wgmma multiplies 64 x COLUMNS by four warps at once and reads
// both operands from shared memory itself; it runs on while the threads fetch the slabs to come with cp.async.
//
//   block   64*WARPGROUPS output positions x COLUMNS channels; a warpgroup has 64 of the positions
//   grid    (ceil(M / ROWS) * ceil(O / COLUMNS)); neighbours share positions, so x comes from L2
//   thread  copies 16-byte chunk thread % 8 of every (16*WARPGROUPS)-th row; sums as in hopper.cuh
//   shared  STAGES * (ROWS + COLUMNS) * 128 bytes: a ring of slabs, 128-byte swizzle; then the epilogue's strips
//
// A slab's life, PREFETCH = STAGES - 2 slabs ahead:  asked for | landed | multiplied | perhaps still multiplied | free.
// The last but one is what lets a wgmma run across the barrier into the next slab.
//
// Needs C a multiple of a 16-byte chunk, groups 1; any window. Wasted still: every thread computes addresses for its
// copies, and they take registers and issue slots from the warps that multiply. wgmma_tma.cu leaves both to the copy
// engine.
//
// In tf32 the tensor core would cut x's last 13 bits off: each thread rounds what it brought, in place. That costs one
// read and one write of x in shared memory, beside the reads of both operands by every warpgroup.
//
// Architectures: sm_90a
// Elements: TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 sm_90a: HGMMA.64x64x16.F32 HGMMA.64x128x16.F32 LDGSTS WARPGROUP.DEPBAR
// Expects: BFLOAT16 sm_90a: HGMMA.64x64x16.F32.BF16 HGMMA.64x128x16.F32.BF16 LDGSTS WARPGROUP.DEPBAR
// Expects: TF32 sm_90a: HGMMA.64x64x8.F32.TF32 HGMMA.64x128x8.F32.TF32 LDGSTS WARPGROUP.DEPBAR LDS.128 STS.128
// Expects: all sm_90a: MEMBAR.ALL.CTA FENCE.VIEW.ASYNC WARPGROUP.ARRIVE fence.proxy.async wgmma.fence
#include "../common/tensor_core.cuh"
#include "../common/warpgroup.cuh"

constexpr int CHUNKS = SLAB_BYTES / 16;  // of a row

// What one thread copies: one 16-byte chunk of some rows of both operands, slab after slab.
template <int ROWS, int COLUMNS, int THREADS>
struct Loader {
  static constexpr int PASS_ROWS = THREADS / CHUNKS;
  static constexpr int A_PASSES = ROWS / PASS_ROWS, B_PASSES = COLUMNS / PASS_ROWS;
  static constexpr int NOWHERE = -(1 << 30);  // as a height: outside of every image
  static_assert(PASS_ROWS % 8 == 0, "one swizzle for all of a thread's rows");

  const Stored *x, *weight;
  const Conv& conv;
  int K;
  const Stored* image[A_PASSES];          // the row's image
  int height[A_PASSES], width[A_PASSES];  // where its window begins in it
  const Stored* filter;                   // of the first row
  int filters;                            // from there to the last channel
  int k, r, s, c;                         // this thread's place along K
  unsigned place;                         // in a slab

  __device__ __forceinline__ Loader(const Stored* x, const Stored* weight, const Conv& conv, int position, int channel)
      : x(x), weight(weight), conv(conv) {
    const int row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    K = conv.KH * conv.KW * conv.C;
    place = row * SLAB_BYTES + (chunk ^ row % 8) * 16;
    filter = weight + (size_t)(channel + row) * K;
    filters = conv.O - channel - row;
    k = c = chunk * VECTOR, r = s = 0;
    wrap();
#pragma unroll
    for (int pass = 0; pass < A_PASSES; pass++) seek(pass, position + row + pass * PASS_ROWS);
  }

  // image, height and width of output position m
  __device__ __forceinline__ void seek(int pass, int m) {
    const int pixels = conv.OH * conv.OW;
    const int n = m / pixels, i = m % pixels / conv.OW, j = m % conv.OW;
    image[pass] = x + (size_t)n * conv.H * conv.W * conv.C;
    height[pass] = n < conv.N ? i * conv.stride_h - conv.padding_h : NOWHERE;
    width[pass] = j * conv.stride_w - conv.padding_w;
  }

  // c past the last channel: the next taps
  __device__ __forceinline__ void wrap() {
    while (c >= conv.C) {
      c -= conv.C;
      if (++s == conv.KW) s = 0, r++;
    }
  }

  // Asks for the next slab; rows and columns that do not exist, and K's end, are zeros.
  __device__ __forceinline__ void load(unsigned a, unsigned b) {
    const bool inside = k < K;
#pragma unroll
    for (int pass = 0; pass < A_PASSES; pass++) {
      const int h = height[pass] + r * conv.dilation_h, w = width[pass] + s * conv.dilation_w;
      const bool valid = inside && 0 <= h && h < conv.H && 0 <= w && w < conv.W;
      const Stored* from = valid ? image[pass] + ((size_t)h * conv.W + w) * conv.C + c : x;
      copy_async_16(a + place + pass * PASS_ROWS * SLAB_BYTES, from, valid);
    }
#pragma unroll
    for (int pass = 0; pass < B_PASSES; pass++) {
      const bool valid = inside && pass * PASS_ROWS < filters;
      const Stored* from = valid ? filter + (size_t)pass * PASS_ROWS * K + k : weight;
      copy_async_16(b + place + pass * PASS_ROWS * SLAB_BYTES, from, valid);
    }
    k += SLAB, c += SLAB;
    wrap();
  }

  // What this thread brought of x, in a slab that has landed.
  __device__ __forceinline__ void round(unsigned char* slab) const {
#if ELEMENT == TF32
#pragma unroll
    for (int pass = 0; pass < A_PASSES; pass++) {
      uint4* chunk = reinterpret_cast<uint4*>(slab + place + pass * PASS_ROWS * SLAB_BYTES);
      unsigned four[4] = {chunk->x, chunk->y, chunk->z, chunk->w};
      round_activations(four);
      *chunk = make_uint4(four[0], four[1], four[2], four[3]);
    }
#endif
  }
};

template <int WARPGROUPS, int COLUMNS, int STAGES>
__device__ __forceinline__ void conv2d_wgmma(const Stored* x, const Stored* weight, const float* bias,
                                             const Stored* residual, Stored* y, const Conv& conv) {
  constexpr int ROWS = WGMMA_ROWS * WARPGROUPS, A_BYTES = ROWS * SLAB_BYTES;
  constexpr int STAGE_BYTES = A_BYTES + COLUMNS * SLAB_BYTES, PREFETCH = STAGES - 2;
  constexpr int WIDTH = 64, STRIP = StagedTile<16, WIDTH, 32>::BYTES;
  static_assert(4 * WARPGROUPS * STRIP <= STAGES * STAGE_BYTES, "the epilogue's strips take the place of the ring");
  SHARED_MEMORY(unsigned char, shared);

  const int column_tiles = (conv.O + COLUMNS - 1) / COLUMNS;
  const int position = blockIdx.x / column_tiles * ROWS, channel = blockIdx.x % column_tiles * COLUMNS;
  const int warp = threadIdx.x / 32, warpgroup = threadIdx.x / WARPGROUP;
  const int slabs = (conv.KH * conv.KW * conv.C + SLAB - 1) / SLAB;
  const unsigned ring = shared_address(shared);
  Loader<ROWS, COLUMNS, WARPGROUP * WARPGROUPS> loader(x, weight, conv, position, channel);
  auto stage = [=](int slab) { return ring + slab % STAGES * STAGE_BYTES; };

  float sums[1][COLUMNS / 2];
#pragma unroll
  for (int i = 0; i < COLUMNS / 2; i++) sums[0][i] = 0.f;
#pragma unroll
  for (int slab = 0; slab < PREFETCH; slab++) {
    if (slab < slabs) loader.load(stage(slab), stage(slab) + A_BYTES);
    copy_async_commit();  // an empty group keeps the count of groups that of slabs
  }
  float* strip = reinterpret_cast<float*>(shared + warp * STRIP);
  const Outputs out = {bias, residual, y, conv.O, conv.activation};
  WarpEpilogue<1, COLUMNS, WIDTH> epilogue(out, strip, position + warp * 16, conv.N * conv.OH * conv.OW, channel);
#pragma unroll 1
  for (int slab = 0; slab < slabs; slab++) {
    copy_async_wait<PREFETCH - 1>();  // this thread's part of the slab has landed,
    loader.round(shared + slab % STAGES * STAGE_BYTES);
    fence_async_proxy();              // cp.async writes as threads do, wgmma reads as the copy engine does
    __syncthreads();                  // everybody's part; and no warpgroup multiplies slab - 2 any more
    wgmma_fence();
    multiply_slab<COLUMNS>(sums[0], stage(slab) + warpgroup * WGMMA_ROWS * SLAB_BYTES, stage(slab) + A_BYTES);
    wgmma_commit();
    if (slab + PREFETCH < slabs) loader.load(stage(slab + PREFETCH), stage(slab + PREFETCH) + A_BYTES);
    copy_async_commit();
    wgmma_wait<1>();
  }
  wgmma_wait<0>();
  __syncthreads();  // the other warps have read the ring, too
  epilogue.store(sums);
}

#define CONV2D_WGMMA(rows, columns)                                                                                  \
  extern "C" __global__ void __launch_bounds__(2 * rows) conv2d_wgmma_##rows##x##columns(                            \
      const Stored* x, const Stored* weight, const float* bias, const Stored* residual, Stored* y, Conv conv) {      \
    conv2d_wgmma<rows / 64, columns, 4>(x, weight, bias, residual, y, conv);                                         \
  }                                                                                                                  \
  KERNEL(conv2d_wgmma_##rows##x##columns)

CONV2D_WGMMA(64, 64)
CONV2D_WGMMA(128, 64)
CONV2D_WGMMA(64, 128)
CONV2D_WGMMA(128, 128)
