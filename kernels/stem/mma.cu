// The stem on tensor cores: a convolution of at most 4 channels with a window of up to 7 x 8, such as ResNet's 7x7.
//
//   y[n,i,j,o] = relu(bias[o] + sum over r,s,c of
//                     weight[o,r,s,c] * x[n, i*stride_h - padding_h + r, j*stride_w - padding_w + s, c])
//
// x (N, H, W, 4), weight (O, KH, taps, 4) with zeros where there is no tap or channel, y (N, OH, OW, O).
//
// 3 channels are not a multiple of 16 bytes, so the general kernel would load them one by one. Here a row of the window
// is `taps` whole pixels of 4 channels, one run of memory. A 7x7 window becomes 7 rows of 8 pixels: K = 224 where 147
// would do, a third of the products is with zeros, in exchange for loads of whole rows. (A NaN or infinity in an extra
// pixel does reach the sum, as 0 * NaN: it spoils outputs of its own image only, as a window of `taps` columns would.)
//
// The block keeps all weights of `columns` filters in shared memory and walks through `tiles` tiles of 8 x 16 outputs.
// For each it loads the patch of pixels below it once (stem/patch.cuh). A row of im2col is then just an address: the
// window of position (i, j) starts at patch pixel (i*stride_h, j*stride_w), and ldmatrix takes any 16 bytes from there.
// Where a window may start at half of 16 bytes (two-byte numbers, odd stride), lanes load their 4 bytes themselves.
//
// Bank conflicts: weights' rows are padded by 16 bytes, so that 8 of them begin in different banks; at stride 2 in
// half, 8 neighbouring positions of the patch lie 16 bytes apart, one run. TF32 asks every bank twice.
//
// Warp w multiplies the tile's rows 2w, 2w + 1 (two m16 tiles) with all `columns` filters.
// Grid (ceil(N * ceil(OH/8) * ceil(OW/16) / tiles), ceil(O/columns)), block 128. Shared: 4 staged tiles of 16
// positions, weights columns * (KH * taps * pixel + 16) bytes, patch: 54 KiB for ResNet's stem in half, 88 KiB in TF32.
//
// What the next rung fixes (mma_pool.cu): max pool in the same kernel, so that the largest tensor of the network is
// never written. What neither has: loading the next patch while this one is multiplied, where few blocks fit a
// multiprocessor.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 sm_75: HMMA.1688.F32 LDSM.16.M88.4
// Expects: FLOAT16 sm_80: HMMA.16816.F32 LDSM.16.M88.4
// Expects: TF32 sm_80: HMMA.1688.F32.TF32 LDSM.16.M88.4
#include "../common/epilogue_tile.cuh"
#include "mma_rows.cuh"

template <int columns>
using Staged = StagedTile<16, columns, 32>;  // 16 positions, written out by one warp

// One row of 16 positions: bias, ReLU, cast, store. `staged` is this warp's own.
template <int columns>
__device__ __forceinline__ void write_row(const Staged<columns>& staged, const float (&sums)[columns / 8][4],
                                          const StemTile& tile, const Conv& conv, int row, int lane) {
  const Packed no_residual[Staged<columns>::PASSES] = {};
  warp_sync();  // the row before has been read
#pragma unroll
  for (int j = 0; j < columns / 8; j++) staged.put(0, 8 * j, lane, sums[j]);
  warp_sync();
  staged.store(no_residual, [&](int column) { return tile.position(conv, row, column); });
}

template <int columns, int taps, bool aligned>
__device__ __forceinline__ void stem_mma(const Stored* x, const Stored* weight, const float* bias, Stored* y,
                                         const Conv& conv, int tiles) {
  SHARED_MEMORY(unsigned char, shared);
  const int K = conv.KH * taps * CHANNELS, first = blockIdx.y * columns;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Stored* weights = reinterpret_cast<Stored*>(shared + WARPS * Staged<columns>::BYTES);
  Pixel* patch = reinterpret_cast<Pixel*>(weights + columns * (K + SKEW));
  const Outputs out = {bias, nullptr, y, conv.O, conv.activation};
  const Staged<columns> staged(out, reinterpret_cast<float*>(shared + warp * Staged<columns>::BYTES), lane, first,
                               min(first + columns, conv.O));

  load_weights<columns>(weights, weight, first, conv.O, K);
  for (int t = 0; t < tiles; t++) {
    const StemTile tile(conv, blockIdx.x * tiles + t);
    if (tile.n >= conv.N) return;
    __syncthreads();  // the last patch has been read
    load_patch<THREADS>(patch, StoredImages{reinterpret_cast<const Pixel*>(x), conv}, conv, tile, taps);
    __syncthreads();
    float sums[2][columns / 8][4] = {};
    multiply_rows<columns, aligned>(sums, patch, weights, conv, taps, 2 * warp, lane);
#pragma unroll
    for (int i = 0; i < 2; i++) write_row<columns>(staged, sums[i], tile, conv, 2 * warp + i, lane);
  }
}

#define STEM_MMA(name, columns, taps, aligned)                                                                \
  extern "C" __global__ void __launch_bounds__(THREADS)                                                       \
      name(const Stored* x, const Stored* weight, const float* bias, Stored* y, Conv conv, int tiles) {       \
    stem_mma<columns, taps, aligned>(x, weight, bias, y, conv, tiles);                                        \
  }                                                                                                           \
  KERNEL(name)

STEM_MMA(stem_mma_64x8, 64, 8, true)
STEM_MMA(stem_mma_32x4, 32, 4, true)
#if ELEMENT != TF32  // a pixel of 4 float32 numbers has 16 bytes
STEM_MMA(stem_mma_32x8_apart, 32, 8, false)
STEM_MMA(stem_mma_32x4_apart, 32, 4, false)
#endif
