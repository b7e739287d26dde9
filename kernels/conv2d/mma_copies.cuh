// What the blocks of conv2d/mma.cu share: the shape of a tile, where it lies, and how one thread copies its part of the
// operands into the ring of slices.
#pragma once
#include "../common/conv.cuh"
#include "../common/epilogue_tile.cuh"

#ifndef THROUGH_REGISTERS
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define THROUGH_REGISTERS 1
#else
#define THROUGH_REGISTERS 0
#endif
#endif

constexpr int ROW_BYTES = 64;                     // of a row in shared memory: four 16-byte chunks
constexpr int K_TILE = ROW_BYTES / sizeof(Stored);  // products of a slice
constexpr int SLAB_ROWS = 16;                     // rows of an mma

// Where the 16-byte chunk of a row lies in a slice.
__device__ __forceinline__ unsigned place(int row, int chunk) {
  return row * ROW_BYTES + ((chunk ^ (row / 2 % 4)) << 4);
}

template <int ROWS_, int COLUMNS_, int WARP_ROWS_, int STAGES_>
struct Tile {
  static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, STAGES = THROUGH_REGISTERS ? 2 : STAGES_;
  static constexpr int WARP_ROWS = WARP_ROWS_, WARP_COLUMNS = 64, ROW_WARPS = ROWS / WARP_ROWS;
  static constexpr int WARPS = ROW_WARPS * (COLUMNS / WARP_COLUMNS), THREADS = 32 * WARPS;
  static constexpr int STAGE_BYTES = (ROWS + COLUMNS) * ROW_BYTES;
};

// Where a block works: positions from m on, filters from n to last of one group, k-tiles from first_tile to last_tile.
struct Work {
  int m, n, last, group, first_tile, last_tile;
};

// A division costs as much as 20 sums: none where there is one group.
__device__ __forceinline__ int in_a_group(int channels, const Conv& conv) {
  return conv.groups == 1 ? channels : channels / conv.groups;
}

template <class Tile>
__device__ __forceinline__ Work work_of_block(const Conv& conv) {
  const unsigned filters = in_a_group(conv.O, conv), column_tiles = (filters + Tile::COLUMNS - 1) / Tile::COLUMNS;
  const unsigned k_tiles = (conv.KH * conv.KW * in_a_group(conv.C, conv) + K_TILE - 1) / K_TILE;
  const int first = blockIdx.y * filters, row_tile = blockIdx.x / column_tiles;
  Work work = {row_tile * Tile::ROWS, first + (int)(blockIdx.x - row_tile * column_tiles) * Tile::COLUMNS,
               first + (int)filters, (int)blockIdx.y, 0, (int)k_tiles};
  if (gridDim.z > 1) {
    work.first_tile = blockIdx.z * k_tiles / gridDim.z;
    work.last_tile = (blockIdx.z + 1) * k_tiles / gridDim.z;
  }
  return work;
}

// One thread's part of the copies: chunk thread % 4 of every STEP-th row of both operands, k-tile after k-tile.
template <class Tile>
struct Copier {
  static constexpr int CHUNKS = ROW_BYTES / 16, STEP = Tile::THREADS / CHUNKS;
  static constexpr int WINDOWS = Tile::ROWS / STEP, FILTERS = Tile::COLUMNS / STEP;

  const Stored* x;        // a window whose corner is the block's first pixel, at this thread's tap and channel
  const Stored* weight;   // this thread's k of filter 0
  int corner[WINDOWS];    // the windows' corners, from x, in elements
  unsigned inside[WINDOWS];  // bit r: the window's row r is in the image; bit 16 + s: its column s is; 0 beyond M
  int filter[FILTERS];    // the filters, from weight, in elements
  int channel, channels;  // of the group
  unsigned row_tap, column_tap, column_end;  // 1 << r, 0x10000 << s, 0x10000 << KW
  int to_next_column, to_next_row;           // elements, from a tap's end to the next one
  unsigned to;                               // this thread's first chunk in stage 0

  __device__ __forceinline__ Copier(const Stored* x_, const Stored* weight_, const Conv& conv, const Work& work,
                                    unsigned shared) {
    const int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS;
    to = shared + place(row, chunk);
    channels = in_a_group(conv.C, conv);
    const int pitch = (conv.KH * conv.KW * channels + K_TILE - 1) / K_TILE * K_TILE;
    // beyond the last filter the last one is copied again: those columns are never stored
#pragma unroll
    for (int i = 0; i < FILTERS; i++) filter[i] = (min(work.n + row + i * STEP, work.last - 1) - work.n) * pitch;

    const int k = work.first_tile * K_TILE + chunk * VECTOR;
    weight = weight_ + (size_t)work.n * pitch + k;
    x = x_ + find_windows(work.m, row, conv) + work.group * channels + k;
    to_next_column = conv.dilation_w * conv.C - channels;
    to_next_row = (conv.dilation_h * conv.W - conv.KW * conv.dilation_w) * conv.C;
    row_tap = 1, column_tap = 0x10000, column_end = 0x10000u << conv.KW;
    channel = k;
    pass_taps();
  }

  // Sets `corner` and `inside` for positions m + row, m + row + STEP, ...; returns where in x the corners count from.
  __device__ __forceinline__ size_t find_windows(int m, int row, const Conv& conv) {
    const int L = conv.OH * conv.OW, M = conv.N * L;
    if (conv.KH * conv.KW == 1 && L == conv.H * conv.W && conv.padding_h + conv.padding_w == 0) {
      // pointwise, every input once: positions in x are positions in y, nothing to divide
#pragma unroll
      for (int i = 0; i < WINDOWS; i++) {
        corner[i] = (row + i * STEP) * conv.C;
        inside[i] = m + row + i * STEP < M ? 0x10001 : 0;
      }
      return (size_t)m * conv.C;
    }
    const int first_image = m / L;
    int image = (m + row) / L, i_out = (m + row - image * L) / conv.OW, j_out = m + row - image * L - i_out * conv.OW;
#pragma unroll
    for (int i = 0; i < WINDOWS; i++) {
      const int h = i_out * conv.stride_h - conv.padding_h, w = j_out * conv.stride_w - conv.padding_w;
      corner[i] = (((image - first_image) * conv.H + h) * conv.W + w) * conv.C;
      inside[i] = image < conv.N ? taps_inside(h, w, conv) : 0;
      for (j_out += STEP; j_out >= conv.OW; j_out -= conv.OW)
        if (++i_out == conv.OH) i_out = 0, image++;
    }
    return (size_t)first_image * conv.H * conv.W * conv.C;
  }

  static __device__ __forceinline__ unsigned taps_inside(int h, int w, const Conv& conv) {
    unsigned bits = 0;
#pragma unroll 1
    for (int r = 0; r < conv.KH; r++) bits |= (unsigned)((unsigned)(h + r * conv.dilation_h) < conv.H) << r;
#pragma unroll 1
    for (int s = 0; s < conv.KW; s++) bits |= (unsigned)((unsigned)(w + s * conv.dilation_w) < conv.W) << (16 + s);
    return bits;
  }

  // The channel counter has run past the tap's channels: on to the tap that it has reached. Past the last tap no bit of
  // `inside` is set, which fills the end of the last k-tile with zeros.
  __device__ __forceinline__ void pass_taps() {
    while (channel >= channels) {
      channel -= channels, x += to_next_column, column_tap <<= 1;
      if (column_tap == column_end) column_tap = 0x10000, row_tap <<= 1, x += to_next_row;
    }
  }

  __device__ __forceinline__ void advance() {
    x += K_TILE, weight += K_TILE, channel += K_TILE;
    pass_taps();
  }

  __device__ __forceinline__ bool reads(int i) const { return !((row_tap | column_tap) & ~inside[i]); }

  // begin: the next slice is under way to `stage`, unless there is none.  finish: before the barrier that publishes the
  // slice STAGES - 1 calls of `begin` ago.
#if THROUGH_REGISTERS
  uint4 held[WINDOWS + FILTERS];
  unsigned held_for;
  bool holds;

  __device__ __forceinline__ void begin(int stage, bool any) {
    holds = any;
    if (!any) return;
    held_for = to + stage * Tile::STAGE_BYTES;
#pragma unroll
    for (int i = 0; i < WINDOWS; i++) held[i] = reads(i) ? *(const uint4*)(x + corner[i]) : make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int i = 0; i < FILTERS; i++) held[WINDOWS + i] = *(const uint4*)(weight + filter[i]);
    advance();
  }

  __device__ __forceinline__ void finish(unsigned char* shared) {
    if (!holds) return;
    unsigned char* at = shared + (held_for - shared_address(shared));
#pragma unroll
    for (int i = 0; i < WINDOWS + FILTERS; i++) *(uint4*)(at + i * STEP * ROW_BYTES) = held[i];
  }
#else
  __device__ __forceinline__ void begin(int stage, bool any) {
    if (any) {
      const unsigned stage_to = to + stage * Tile::STAGE_BYTES;
#pragma unroll
      for (int i = 0; i < WINDOWS; i++) copy_async_16(stage_to + i * STEP * ROW_BYTES, x + corner[i], reads(i));
#pragma unroll
      for (int i = 0; i < FILTERS; i++)
        copy_async_16(stage_to + (Tile::ROWS + i * STEP) * ROW_BYTES, weight + filter[i], true);
      advance();
    }
    copy_async_commit();  // also when there is none: groups are counted
  }

  __device__ __forceinline__ void finish(unsigned char*) { copy_async_wait<Tile::STAGES - 2>(); }
#endif
};
