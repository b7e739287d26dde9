// What the wgmma kernels share: how operands lie in shared memory, the products of one slab, the way out of registers.
//
// A slab is 128 bytes of K: 64 halves or 32 floats. An operand's slab is K-major: row by row (output positions, or
// filters), each row 128 bytes, and the 16-byte chunk c of row r lies at chunk c ^ r % 8, the 128-byte swizzle. wgmma
// reads eight rows at a time; without the swizzle their chunks would all lie in the same four banks. The period is
// 8 rows = 1024 bytes, so operands begin at multiples of 1024.
#pragma once
#include "epilogue_tile.cuh"
#include "hopper.cuh"

constexpr int SLAB_BYTES = 128;
constexpr int SLAB = SLAB_BYTES / sizeof(Stored);  // elements
constexpr int STEP_BYTES = 32;                     // of K in one wgmma: 16 halves or 8 tf32
constexpr int WARPGROUP = 128;                     // threads; 4 consecutive warps issue a wgmma together
constexpr int WGMMA_ROWS = 64;

// An operand for wgmma: bits 0-13 its address, 16-29 a stride that this layout does not use, 32-45 the distance of one
// group of 8 rows to the next (all in units of 16 bytes), 62-63 the swizzle, 1 = 128 bytes. A step along K only moves
// the address: the hardware swizzles address bits, so chunks are found again from anywhere in the first row.
__device__ __forceinline__ unsigned long long operand(unsigned address) {
  constexpr unsigned long long eight_rows = 8 * SLAB_BYTES >> 4;
  return (address & 0x3FFFFu) >> 4 | 1ull << 16 | eight_rows << 32 | 1ull << 62;
}

template <int COLUMNS>
__device__ __forceinline__ void wgmma(float (&sums)[COLUMNS / 2], unsigned long long a, unsigned long long b) {
#if ELEMENT == FLOAT16
  wgmma_float16<COLUMNS>(sums, a, b);
#elif ELEMENT == BFLOAT16
  wgmma_bfloat16<COLUMNS>(sums, a, b);
#else
  wgmma_tf32<COLUMNS>(sums, a, b);
#endif
}

// sums (64, COLUMNS) += a (64, SLAB) * b (COLUMNS, SLAB) transposed; only started: wgmma_commit, wgmma_wait.
template <int COLUMNS>
__device__ __forceinline__ void multiply_slab(float (&sums)[COLUMNS / 2], unsigned a, unsigned b) {
  constexpr unsigned long long step = STEP_BYTES >> 4;  // as the address's unit
#pragma unroll
  for (int i = 0; i < SLAB_BYTES / STEP_BYTES; i++) wgmma<COLUMNS>(sums, operand(a) + i * step, operand(b) + i * step);
}

// The epilogue of one warp: its 16 rows of BLOCKS wgmmas' sums pass through its own piece of shared memory, WIDTH
// channels at a time, so that no other warp is waited for. The residual of a part is asked for one part ahead, and that
// of the first before the products begin: it arrives while the tensor cores work.
template <int BLOCKS, int COLUMNS, int WIDTH>
struct WarpEpilogue {
  typedef StagedTile<16, WIDTH, 32> Strip;
  static constexpr int BLOCK_PARTS = COLUMNS / WIDTH, PARTS = BLOCKS * BLOCK_PARTS;

  const Outputs& out;
  float* staged;            // Strip::BYTES of this warp
  int position, positions;  // output position of the warp's first row; how many there are
  int channel;              // of the sums' first column
  Packed residual[2][Strip::PASSES];

  __device__ __forceinline__ WarpEpilogue(const Outputs& out, float* staged, int position, int positions, int channel)
      : out(out), staged(staged), position(position), positions(positions), channel(channel) {
    ask_residual(0);
  }

  __device__ __forceinline__ Strip strip(int part) const {
    const int first = channel + part % BLOCK_PARTS * WIDTH;
    return Strip(out, staged, threadIdx.x % 32, first, min(first + WIDTH, out.O));
  }

  // The output position of a part's row, or -1.
  __device__ __forceinline__ int position_of(int part, int row) const {
    const int m = position + part / BLOCK_PARTS * WGMMA_ROWS + row;
    return m < positions ? m : -1;
  }

  __device__ __forceinline__ void ask_residual(int part) {
    strip(part).ask_residual(residual[part % 2], [&](int row) { return position_of(part, row); });
  }

  __device__ __forceinline__ void store(const float (&sums)[BLOCKS][COLUMNS / 2]) {
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
      if (part + 1 < PARTS) ask_residual(part + 1);
      const Strip tile = strip(part);
#pragma unroll
      for (int column = 0; column < WIDTH; column += 8) {
        const float* four = sums[part / BLOCK_PARTS] + (part % BLOCK_PARTS * WIDTH + column) / 2;
        tile.put(0, column, threadIdx.x % 32, {four[0], four[1], four[2], four[3]});
      }
      warp_sync();
      tile.store(residual[part % 2], [&](int row) { return position_of(part, row); });
      warp_sync();  // the next part overwrites what other lanes have just read
    }
  }
};
