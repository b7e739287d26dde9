// Convolution on tensor cores: implicit GEMM with mma.sync.
//
// Idea: the im2col matrix is never stored. A block computes ROWS positions x COLUMNS channels; for every K_TILE
//   products it copies that slice of x's windows and of the filters into shared memory, where each warp feeds the
//   tensor cores from it. A ring of STAGES slices hides the latency of memory: while one is multiplied, STAGES - 1 are
//   on their way.
//
//   y[m, o] = relu(bias[o] + residual[m, o] + sum over k of window[m, k] * weight[o, k]),
//   m = (n*OH + i)*OW + j,  k = (r*KW + s)*C/groups + c,  window[m, k] = x[n, i*stride - padding + r*dilation, ..., c]
//
// Thread -> output: warps tile the block by WARP_ROWS x 64; a lane holds mma's two neighbours of rows lane/4 and lane/4
//   + 8.
// Grid: x = row tiles * column tiles, columns fastest (neighbours share x in L2); y = groups; z = slices of K (_split).
// Block: 32 threads a warp.  Shared: min(STAGES, k-tiles) * (ROWS + COLUMNS) * 64 bytes, or the epilogue's, the larger.
//
// The inner loop has no division: a thread copies the same 16 bytes of K of a few rows. For each row it keeps, once,
//   the offset of the window's corner and one bit a tap that is inside the image; the tap (r, s) and the channel are
//   counters. A pointwise convolution has one tap and needs no loop of its own; where it reads every input once, no
//   division either.
// Shared rows are 64 bytes. The 16-byte chunk c of row i lies at c ^ (i/2 % 4): 8 rows of ldmatrix, as well as 8
//   threads of a copy, then touch all 32 banks once.
// Fragments are loaded one step ahead of the multiplications.
//
// Needs C/groups % VECTOR == 0 (16-byte copies), KH and KW at most 11 (tap bits), filters padded with zeros to whole
//   K_TILEs. O is arbitrary; if O % VECTOR != 0 the epilogue stores single elements.
// Before sm_80 there is no cp.async: two slices, the next one held in registers while one is multiplied.
//
// Still wasted: every operand byte passes through registers (ldmatrix) and every copy needs an address from a thread;
//   mma.sync does not reach the full rate of a Hopper's tensor cores: conv2d/wgmma.cu.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 sm_75: HMMA.1688.F32 LDSM STG.E.128
// Expects: FLOAT16 sm_80: HMMA.16816.F32 LDSM LDGSTS STG.E.128
// Expects: BFLOAT16 sm_80: HMMA.16816.F32.BF16 LDSM LDGSTS STG.E.128
// Expects: TF32 sm_80: HMMA.1688.F32.TF32 LDSM LDGSTS STG.E.128
#include "../common/epilogue_tile.cuh"
#include "../common/tensor_core.cuh"
#include "mma_copies.cuh"

// A warp's operands of one step (32 bytes of K), as ldmatrix leaves them.
template <class Tile>
struct Fragments {
  static constexpr int A = Tile::WARP_ROWS / SLAB_ROWS, B = Tile::WARP_COLUMNS / 16;
  // a: 16 rows; b: 16 columns, the first 8 in b[.][0] and [1]: mma wants its two registers of B side by side, or else
  // the compiler moves them
  unsigned a[A][4], b[B][4];

  // `a_from`, `b_from`: this lane's row and 16-byte chunk of step 0, swizzled; step 1 is two chunks on, which flips bit
  // 5.
  __device__ __forceinline__ void load(unsigned a_from, unsigned b_from, int step) {
#pragma unroll
    for (int i = 0; i < A; i++) load_matrix_x4<false>(a[i], (a_from ^ step * 32) + i * 16 * ROW_BYTES);
#pragma unroll
    for (int j = 0; j < B; j++) load_matrix_x4<false>(b[j], (b_from ^ step * 32) + j * 16 * ROW_BYTES);
#pragma unroll
    for (int i = 0; i < A; i++) round_activations(a[i]);
  }

  __device__ __forceinline__ void multiply_into(float (&sums)[A][2 * B][4]) const {
#pragma unroll
    for (int i = 0; i < A; i++)
#pragma unroll
      for (int j = 0; j < 2 * B; j++) multiply(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
  }
};

// The sums of a warp's WARP_ROWS x 64 outputs over the block's k-tiles. Ends with a barrier: the ring may be
// overwritten.
template <class Tile>
__device__ __forceinline__ void sum_products(float (&sums)[Fragments<Tile>::A][2 * Fragments<Tile>::B][4],
                                             const Stored* x, const Stored* weight, const Conv& conv, const Work& work,
                                             int warp_row, int warp_column, unsigned char* shared) {
  const int lane = threadIdx.x % 32, k_tiles = work.last_tile - work.first_tile;
  const unsigned ring = shared_address(shared);
  // ldmatrix's matrices: of a, rows 0-7 and 8-15, then their second chunk; of b, columns 0-7, their second chunk, then
  // 8-15
  const unsigned a_lane = ring + place(warp_row + lane % 16, lane / 16);
  const unsigned b_lane = ring + place(Tile::ROWS + warp_column + lane / 16 * 8 + lane % 8, lane / 8 % 2);

  Copier<Tile> copier(x, weight, conv, work, ring);
#pragma unroll
  for (int tile = 0; tile < Tile::STAGES - 1; tile++) copier.begin(tile, tile < k_tiles);
  copier.finish(shared);
  __syncthreads();

  Fragments<Tile> even, odd;
  even.load(a_lane, b_lane, 0);
  int stage = 0, free_stage = Tile::STAGES - 1;  // being multiplied; the one before it, which everybody has read
#pragma unroll 1
  for (int tile = 0; tile < k_tiles; tile++) {
    odd.load(a_lane + stage * Tile::STAGE_BYTES, b_lane + stage * Tile::STAGE_BYTES, 1);
    copier.begin(free_stage, tile + Tile::STAGES - 1 < k_tiles);
    even.multiply_into(sums);
    copier.finish(shared);
    __syncthreads();  // the next slice is there for all, and all have read this one
    free_stage = stage;
    if (tile + 1 < k_tiles) stage = stage + 1 < Tile::STAGES ? stage + 1 : 0;
    // after the last tile: its own first step again, unused
    even.load(a_lane + stage * Tile::STAGE_BYTES, b_lane + stage * Tile::STAGE_BYTES, 0);
    odd.multiply_into(sums);
  }
  __syncthreads();  // that unused step was still read from the ring
}

// Sums -> shared memory -> y, 16 rows at a time; a warp on its own, so that no warp waits for another one.
template <class Tile>
__device__ __forceinline__ void finish_tile(const float (&sums)[Fragments<Tile>::A][2 * Fragments<Tile>::B][4],
                                            const Outputs& out, int M, int m, int n, int last, unsigned char* shared) {
  using Slab = StagedTile<SLAB_ROWS, Tile::WARP_COLUMNS, 32>;
  const int lane = threadIdx.x % 32;
  const Slab slab(out, (float*)(shared + threadIdx.x / 32 * Slab::BYTES), lane, n, last);
  auto position_in = [&](int i) { return [=](int row) { int p = m + i * SLAB_ROWS + row; return p < M ? p : -1; }; };

  // this slab's residual and the next one's; float32 numbers are twice as many registers, so that it is this slab's
  // alone
  constexpr int AHEAD = sizeof(Stored) == 2;
  Packed residual[1 + AHEAD][Slab::PASSES];
  slab.ask_residual(residual[0], position_in(0));
#pragma unroll
  for (int i = 0; i < Fragments<Tile>::A; i++) {
    if (i + AHEAD > 0 && i + AHEAD < Fragments<Tile>::A)
      slab.ask_residual(residual[(i + AHEAD) % (1 + AHEAD)], position_in(i + AHEAD));
    warp_sync();  // the slab before has been read
#pragma unroll
    for (int j = 0; j < 2 * Fragments<Tile>::B; j++) slab.put(0, 8 * j, lane, sums[i][j]);
    warp_sync();
    slab.store(residual[i % (1 + AHEAD)], position_in(i));
  }
}

// The sums of this slice of K alone: partial[slice][m][o], float32, added up by conv2d/split_k_reduce.cu. Four lanes
// write 32 neighbouring bytes, a sector of memory, so that nothing is gained by a way through shared memory.
template <class Tile>
__device__ __forceinline__ void store_partial(const float (&sums)[Fragments<Tile>::A][2 * Fragments<Tile>::B][4],
                                              float* partial, int M, int O, int m, int n, int last) {
  const int lane = threadIdx.x % 32;
  float* slice = partial + (size_t)blockIdx.z * M * O;
#pragma unroll
  for (int i = 0; i < 2 * Fragments<Tile>::A; i++) {
    const int row = m + i * 8 + lane / 4;
    if (row >= M) return;
#pragma unroll
    for (int j = 0; j < 2 * Fragments<Tile>::B; j++) {
      const int column = n + j * 8 + lane % 4 * 2;
      float* to = slice + (size_t)row * O + column;
      const float first = sums[i / 2][j][i % 2 * 2], second = sums[i / 2][j][i % 2 * 2 + 1];
      if (column + 1 < last && O % 2 == 0 && column % 2 == 0) {
        *(float2*)to = make_float2(first, second);
      } else {
        if (column < last) to[0] = first;
        if (column + 1 < last) to[1] = second;
      }
    }
  }
}

template <class Tile>
struct Convolution {
  float sums[Fragments<Tile>::A][2 * Fragments<Tile>::B][4] = {};
  int M, m, n, last;  // the warp's first position and channel, and the channel after its group's last
  unsigned char* shared;

  __device__ __forceinline__ Convolution(const Stored* x, const Stored* weight, const Conv& conv) {
    SHARED_MEMORY(unsigned char, memory);
    shared = memory;
    const Work work = work_of_block<Tile>(conv);
    const int warp = threadIdx.x / 32;
    const int row = warp % Tile::ROW_WARPS * Tile::WARP_ROWS, column = warp / Tile::ROW_WARPS * Tile::WARP_COLUMNS;
    sum_products<Tile>(sums, x, weight, conv, work, row, column, shared);
    M = conv.N * conv.OH * conv.OW, m = work.m + row, n = work.n + column, last = work.last;
  }
};

#define CONV2D_MMA(NAME, ROWS, COLUMNS, WARP_ROWS, STAGES, BLOCKS)                                                 \
  extern "C" __global__ void __launch_bounds__(ROWS * COLUMNS / WARP_ROWS / 2, BLOCKS)                             \
      NAME(const Stored* __restrict__ x, const Stored* __restrict__ weight, const float* __restrict__ bias,        \
           const Stored* __restrict__ residual, Stored* __restrict__ y, const Conv conv) {                         \
    Convolution<Tile<ROWS, COLUMNS, WARP_ROWS, STAGES>> c(x, weight, conv);                                        \
    finish_tile<Tile<ROWS, COLUMNS, WARP_ROWS, STAGES>>(c.sums, {bias, residual, y, conv.O, conv.activation}, c.M, \
                                                        c.m, c.n, c.last, c.shared);                               \
  }                                                                                                                \
  KERNEL(NAME)

#define CONV2D_MMA_SPLIT(NAME, ROWS, COLUMNS, WARP_ROWS, STAGES, BLOCKS)                                              \
  extern "C" __global__ void __launch_bounds__(ROWS * COLUMNS / WARP_ROWS / 2, BLOCKS)                                \
      NAME(const Stored* __restrict__ x, const Stored* __restrict__ weight, float* __restrict__ partial,              \
           const Conv conv) {                                                                                         \
    Convolution<Tile<ROWS, COLUMNS, WARP_ROWS, STAGES>> c(x, weight, conv);                                           \
    store_partial<Tile<ROWS, COLUMNS, WARP_ROWS, STAGES>>(c.sums, partial, c.M, conv.O, c.m, c.n, c.last);            \
  }                                                                                                                   \
  KERNEL(NAME)

CONV2D_MMA(conv2d_mma_64x64, 64, 64, 16, 4, 4)
CONV2D_MMA_SPLIT(conv2d_mma_64x64_split, 64, 64, 16, 4, 4)
CONV2D_MMA(conv2d_mma_128x64, 128, 64, 32, 4, THROUGH_REGISTERS ? 2 : 3)
#if !THROUGH_REGISTERS  // the held slice would not fit beside 64x64 sums a warp
CONV2D_MMA(conv2d_mma_128x128, 128, 128, 64, 4, 2)
#endif
CONV2D_MMA(conv2d_mma_256x128, 256, 128, 64, 4, 1)
