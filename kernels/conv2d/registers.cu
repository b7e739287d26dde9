// Convolution in float32 as it is meant to run: implicit GEMM with 8x8 sums a thread.
//
// Idea: tiled.cu is bound by shared memory, two loads for each multiply-add. Here a thread keeps 8x8 sums in registers:
//   of each product k it reads 8 windows' numbers and 8 filters' numbers, four 16-byte loads, and multiplies all 64
//   pairs. And while one slice of K is multiplied the next one is on its way: asked for before, put into the other half
//   of shared memory after. One barrier a slice.
//
//   y[m, o] = relu(bias[o] + residual[m, o] + sum over k of window[m, k] * weight[o, k])        (window.cuh)
//   float32 throughout: FFMA, no tf32.
//
// Thread -> output: a warp computes 32 positions x 64 channels (64 x 32 where COLUMNS is 32), its lanes lie 4 x 8 (8
//   x 4). A lane has two runs of 4 positions and two of 4 channels, half the warp's tile apart: its 16-byte loads are
//   then neighbours of those of the next lane, and the lanes of a row store 128 neighbouring bytes of y.
// Grid: x = row tiles * column tiles, columns fastest (neighbours share x in L2); y = groups; z = slices of K (_split).
// Block: ROWS * COLUMNS / 64 threads.  Shared: 2 * 8 * (ROWS + COLUMNS + 8) * 4 bytes: 16,896 for 128x128.
//
// A slice lies k by k, [8][ROWS + 4]. A thread brings 4 neighbouring k (16 bytes) of a row and stores them into 4
//   lines; the 4 words added to each line put the lanes that have the other 4 k 16 banks further, so that no bank is
//   asked twice.
// A lane's bit 0 tells its row, bits 1.. its column: each quarter of a warp, which a 16-byte load serves at a time,
//   reads 2 different 16 bytes of the windows and 4 of the filters, all in different banks.
// No division in the loop: the channel and the tap's place are counters, the same for all rows that a thread loads.
//
// `_scalar`: single loads and stores, for channels or filters of a group that are not a multiple of 4. `_split`: the
//   sums of a part of K go to partial (splits, M, O); split_k_reduce.cu ends the work.
//
// Still wasted: of about 605 instructions that a thread issues for a slice (sm_90) 512 are FFMA; 32 are shared loads,
//   the rest loads, stores and addresses. Every number passes through registers into shared memory; cp.async would
//   spare that, but it cannot turn rows into lines. Beyond this there are only the tensor cores: mma.cu.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32
// Expects: FLOAT32 all: FFMA LDG.E.128 STG.E.128 STS
// Expects: FLOAT32 sm_75: LDS.U.128
// Expects: FLOAT32 sm_80: LDS.128
// Expects: FLOAT32 sm_90a: LDS.128
#include "../common/epilogue.cuh"
#include "window.cuh"

constexpr int K_TILE = 8;  // products of a slice
constexpr int PAD = 4;     // words behind each line of a slice

template <int ROWS_, int COLUMNS_>
struct Tile {
  static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, THREADS = ROWS * COLUMNS / 64;
  static constexpr int LANE_COLUMNS = COLUMNS < 64 ? 4 : 8, LANE_ROWS = 32 / LANE_COLUMNS;
  static constexpr int WARP_ROWS = 8 * LANE_ROWS, WARP_COLUMNS = 8 * LANE_COLUMNS;
};

template <class Tile>
struct Slice {
  float windows[K_TILE][Tile::ROWS + PAD], filters[K_TILE][Tile::COLUMNS + PAD];
};

// Where a block works: positions from m on, filters from o to last of one group, slices of K from first on.
struct Work {
  int m, o, last, group, first, slices;
};

template <class Tile>
__device__ __forceinline__ Work work_of_block(const Conv& conv) {
  const int filters = conv.O / conv.groups, column_tiles = (filters + Tile::COLUMNS - 1) / Tile::COLUMNS;
  const int K = conv.KH * conv.KW * (conv.C / conv.groups), slices = (K + K_TILE - 1) / K_TILE;
  const int group = blockIdx.y, first = blockIdx.z * slices / gridDim.z;
  return {(int)(blockIdx.x / column_tiles) * Tile::ROWS,
          group * filters + (int)(blockIdx.x % column_tiles) * Tile::COLUMNS, (group + 1) * filters, group, first,
          (int)((blockIdx.z + 1) * slices / gridDim.z) - first};
}

// One thread's part of the loads: VECTOR neighbouring k of every STEP-th row of both operands, slice after slice.
template <class Tile, int VECTOR>
struct Loader {
  static constexpr int ROW_THREADS = K_TILE / VECTOR, STEP = Tile::THREADS / ROW_THREADS;
  static constexpr int WINDOWS = Tile::ROWS / STEP, FILTERS = Tile::COLUMNS / STEP;

  // Offsets have 32 bits and begin with x and weight, which lie in constant memory: pointers would cost more registers.
  int window[WINDOWS], filter[FILTERS];  // where this thread reads next
  int h[WINDOWS], w[WINDOWS];            // the windows' corners
  int channel, channels;                 // of k, in the group
  int tap_h, tap_w;                      // of k: r*dilation_h, s*dilation_w
  int line, row;                         // this thread's place in a slice
  float held_windows[WINDOWS][VECTOR], held_filters[FILTERS][VECTOR];

  __device__ __forceinline__ Loader(const Conv& conv, const Work& work) {
    line = threadIdx.x % ROW_THREADS * VECTOR, row = threadIdx.x / ROW_THREADS, channels = conv.C / conv.groups;
    const int k = work.first * K_TILE + line, tap = k / channels, K = conv.KH * conv.KW * channels;
    channel = k % channels, tap_h = tap / conv.KW * conv.dilation_h, tap_w = tap % conv.KW * conv.dilation_w;
#pragma unroll
    for (int i = 0; i < WINDOWS; i++) {
      const int m = work.m + row + i * STEP;
      const Corner at = corner_of(m, conv);
      h[i] = m < conv.N * conv.OH * conv.OW ? at.h : -(1 << 30);  // beyond the last position: outside the image
      w[i] = at.w;
      window[i] = ((at.n * conv.H + at.h + tap_h) * conv.W + at.w + tap_w) * conv.C + work.group * channels + channel;
    }
    // beyond the last filter the last one is loaded again: those sums are not stored
#pragma unroll
    for (int i = 0; i < FILTERS; i++) filter[i] = min(work.o + row + i * STEP, work.last - 1) * K + k;
  }

  // Asks for a slice. Nothing waits here for the numbers: they are used in `put`.
  __device__ __forceinline__ void load(const float* x, const float* weight, const Conv& conv) {
    const bool exists = tap_h < conv.KH * conv.dilation_h;  // the last slice may reach beyond K
#pragma unroll
    for (int i = 0; i < WINDOWS; i++)
      take(held_windows[i], x + window[i], exists && inside(h[i] + tap_h, w[i] + tap_w, conv));
#pragma unroll
    for (int i = 0; i < FILTERS; i++) take(held_filters[i], weight + filter[i], exists);
    int step = K_TILE;
    channel += K_TILE;
    while (channel >= channels) {  // on to the tap that k has reached
      channel -= channels, tap_w += conv.dilation_w, step += conv.dilation_w * conv.C - channels;
      if (tap_w < conv.KW * conv.dilation_w) continue;
      step += (conv.dilation_h * conv.W - tap_w) * conv.C;
      tap_w = 0, tap_h += conv.dilation_h;
    }
#pragma unroll
    for (int i = 0; i < WINDOWS; i++) window[i] += step;
#pragma unroll
    for (int i = 0; i < FILTERS; i++) filter[i] += K_TILE;
  }

  static __device__ __forceinline__ void take(float (&held)[VECTOR], const float* from, bool exists) {
    if constexpr (VECTOR == 4) {
      const float4 four = exists ? *reinterpret_cast<const float4*>(from) : make_float4(0.f, 0.f, 0.f, 0.f);
      held[0] = four.x, held[1] = four.y, held[2] = four.z, held[3] = four.w;
    } else {
      held[0] = exists ? *from : 0.f;
    }
  }

  __device__ __forceinline__ void put(Slice<Tile>& slice) const {
#pragma unroll
    for (int e = 0; e < VECTOR; e++) {
#pragma unroll
      for (int i = 0; i < WINDOWS; i++) slice.windows[line + e][row + i * STEP] = held_windows[i][e];
#pragma unroll
      for (int i = 0; i < FILTERS; i++) slice.filters[line + e][row + i * STEP] = held_filters[i][e];
    }
  }
};

// 8 of the numbers in a line: two runs of 4, `apart` words apart.
__device__ __forceinline__ void read_runs(float (&numbers)[8], const float* from, int apart) {
  const float4 a = *reinterpret_cast<const float4*>(from), b = *reinterpret_cast<const float4*>(from + apart);
  numbers[0] = a.x, numbers[1] = a.y, numbers[2] = a.z, numbers[3] = a.w;
  numbers[4] = b.x, numbers[5] = b.y, numbers[6] = b.z, numbers[7] = b.w;
}

// A thread's sums, and where in the block's tile they are: row + 0..3, row + WARP_ROWS/2 + 0..3, and so the columns.
template <class Tile>
struct Sums {
  float of[8][8] = {};
  int row, column;

  __device__ __forceinline__ Sums() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps_across = Tile::COLUMNS / Tile::WARP_COLUMNS;
    const int lane_row = lane / (2 * Tile::LANE_COLUMNS) * 2 + lane % 2, lane_column = lane / 2 % Tile::LANE_COLUMNS;
    row = warp / warps_across * Tile::WARP_ROWS + lane_row * 4;
    column = warp % warps_across * Tile::WARP_COLUMNS + lane_column * 4;
  }

  __device__ __forceinline__ void multiply(const Slice<Tile>& slice) {
#pragma unroll
    for (int k = 0; k < K_TILE; k++) {
      float a[8], b[8];
      read_runs(a, &slice.windows[k][row], Tile::WARP_ROWS / 2);
      read_runs(b, &slice.filters[k][column], Tile::WARP_COLUMNS / 2);
#pragma unroll
      for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) of[i][j] += a[i] * b[j];
    }
  }

  // write(m, o, sums) for each run of four channels, or, one by one, write(m, o, sum).
  template <int VECTOR, class Write>
  __device__ __forceinline__ void store(const Work& work, const Conv& conv, Write write) const {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const int m = work.m + row + i / 4 * (Tile::WARP_ROWS / 2) + i % 4;
      if (m >= conv.N * conv.OH * conv.OW) continue;
#pragma unroll
      for (int j = 0; j < 8; j += VECTOR) {
        const int o = work.o + column + j / 4 * (Tile::WARP_COLUMNS / 2) + j % 4;
        if (o >= work.last) continue;
        if constexpr (VECTOR == 4) write(m, o, make_float4(of[i][j], of[i][j + 1], of[i][j + 2], of[i][j + 3]));
        else write(m, o, of[i][j]);
      }
    }
  }
};

template <class Tile, int VECTOR>
__device__ __forceinline__ Sums<Tile> sums_of_block(const float* x, const float* weight, const Conv& conv,
                                                    const Work& work) {
  __shared__ __align__(16) Slice<Tile> slices[2];  // floats alone would be on 4 bytes, and are read 16 at a time
  Loader<Tile, VECTOR> loader(conv, work);
  Sums<Tile> sums;
  loader.load(x, weight, conv);
  loader.put(slices[work.slices & 1]);
  __syncthreads();
  for (int left = work.slices; left > 0; left--) {
    const bool more = left > 1;
    if (more) loader.load(x, weight, conv);
    sums.multiply(slices[left & 1]);
    // the other half was read before the last barrier: nobody needs it any more
    if (more) loader.put(slices[(left - 1) & 1]);
    __syncthreads();
  }
  return sums;
}

// What becomes of the sums: outputs, or numbers of partial.
struct ToOutput {
  const float *bias, *residual;
  float* y;
  int O, activation;

  template <class T> __device__ __forceinline__ void operator()(int m, int o, T sum) const {
    finish(sum, o, (size_t)m * O + o, bias, residual, y, activation);
  }
};

struct ToPartial {
  float* partial;
  int M, O;

  template <class T> __device__ __forceinline__ void operator()(int m, int o, T sum) const {
    *reinterpret_cast<T*>(partial + ((size_t)blockIdx.z * M + m) * O + o) = sum;
  }
};

template <class Tile, int VECTOR, class Write>
__device__ __forceinline__ void convolve(const float* x, const float* weight, const Conv& conv, const Write& write) {
  const Work work = work_of_block<Tile>(conv);
  sums_of_block<Tile, VECTOR>(x, weight, conv, work).template store<VECTOR>(work, conv, write);
}

#define WHOLE(ROWS, COLUMNS, VECTOR, suffix, BLOCKS)                                                              \
  extern "C" __global__ void __launch_bounds__(ROWS * COLUMNS / 64, BLOCKS)                                       \
  conv2d_registers_##ROWS##x##COLUMNS##suffix(const float* __restrict__ x, const float* __restrict__ weight,      \
                                              const float* bias, const float* residual, float* y, Conv conv) {    \
    convolve<Tile<ROWS, COLUMNS>, VECTOR>(x, weight, conv, ToOutput{bias, residual, y, conv.O, conv.activation}); \
  }                                                                                                               \
  KERNEL(conv2d_registers_##ROWS##x##COLUMNS##suffix)

#define SPLIT(ROWS, COLUMNS, VECTOR, suffix, BLOCKS)                                                                  \
  extern "C" __global__ void __launch_bounds__(ROWS * COLUMNS / 64, BLOCKS)                                           \
  conv2d_registers_##ROWS##x##COLUMNS##suffix##_split(const float* __restrict__ x, const float* __restrict__ weight,  \
                                                      float* partial, Conv conv) {                                    \
    convolve<Tile<ROWS, COLUMNS>, VECTOR>(x, weight, conv, ToPartial{partial, conv.N * conv.OH * conv.OW, conv.O});   \
  }                                                                                                                   \
  KERNEL(conv2d_registers_##ROWS##x##COLUMNS##suffix##_split)

// The last number is the blocks that a multiprocessor's 65,536 registers hold: 128 registers a thread for 128x128, 16
// warps; up to 168 for the small blocks, 12 warps; the scalar form's counters need more.
WHOLE(128, 128, 4, , 2)
WHOLE(128, 64, 4, , 3)
WHOLE(128, 32, 4, , 6)
WHOLE(64, 64, 4, , 6)
SPLIT(64, 64, 4, , 6)
WHOLE(64, 64, 1, _scalar, 4)
SPLIT(64, 64, 1, _scalar, 4)
