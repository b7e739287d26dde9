// The end of a convolution whose K is split: the block of an output tile that comes last adds up what all have left.
//
// Idea: at batch 1 a layer has fewer tiles than the device has multiprocessors. So the products of a tile are cut into
//   slices of K, one a block. Each leaves float32 sums in partial (splits, M, O), of the whole output, and draws a
//   ticket of its tile; who has drawn the last one finds all sums there, most likely in L2, and ends the tile:
//
//   y[m, o] = relu(bias[o] + residual[m, o] + sum over z = 0, 1, ... of partial[z, m, o])
//
// Always in that order, whoever comes last, so that two runs give the same bits; atomic additions would not.
// Grid: x, y = tiles; z = slices of K. `tickets` has a counter for every tile; see common/tickets.cuh.
//
// Still wasted: one block alone reads splits * ROWS * COLUMNS floats while its neighbours are idle. In a cluster every
//   block could add up a part of the tile out of the others' shared memory.
#pragma once
#include "../common/epilogue.cuh"
#include "../common/tickets.cuh"

__device__ __forceinline__ float4 plus(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}
__device__ __forceinline__ float plus(float a, float b) { return a + b; }

// Whether this block is its tile's last. Its threads have left their sums, or are about to; `drawn` is in shared memory.
__device__ __forceinline__ bool comes_last(unsigned* tickets, unsigned* drawn) {
  __syncthreads();  // all sums have been left
  if (threadIdx.x == 0) *drawn = draw_ticket(tickets + blockIdx.y * gridDim.x + blockIdx.x, gridDim.z);
  __syncthreads();  // the ticket is there for all
  return *drawn == gridDim.z - 1;
}

// T: float4 or float, neighbouring channels of a thread. A thread adds up AT_ONCE rows side by side: each step of the
// loop waits for as many loads together.
template <class T, int ROWS, int COLUMNS, int THREADS, class Write>
__device__ __forceinline__ void add_up(const float* partial, int M, int O, int m, int n, int last, const Write& write) {
  constexpr int ROW_THREADS = COLUMNS * 4 / sizeof(T), PASS_ROWS = THREADS / ROW_THREADS, AT_ONCE = 8;
  static_assert(ROWS % (PASS_ROWS * AT_ONCE) == 0, "every thread the same work");
  const int column = n + threadIdx.x % ROW_THREADS * (sizeof(T) / 4), end = min(m + ROWS, M);
  if (column >= last) return;
#pragma unroll 1
  for (int row = m + threadIdx.x / ROW_THREADS; row < end; row += PASS_ROWS * AT_ONCE) {
    const float* from = partial + (size_t)row * O + column;
    int ahead[AT_ONCE];  // beyond the last row that one again: it is not written
    T sums[AT_ONCE];
#pragma unroll
    for (int i = 0; i < AT_ONCE; i++) {
      ahead[i] = min(i * PASS_ROWS, end - 1 - row) * O;
      sums[i] = find((const T*)(from + ahead[i]));
    }
#pragma unroll 2
    for (unsigned z = 1; z < gridDim.z; z++) {
      from += (size_t)M * O;
#pragma unroll
      for (int i = 0; i < AT_ONCE; i++) sums[i] = plus(sums[i], find((const T*)(from + ahead[i])));
    }
#pragma unroll
    for (int i = 0; i < AT_ONCE; i++)
      if (row + i * PASS_ROWS < end) write(row + i * PASS_ROWS, column, sums[i]);
  }
}

// Ends a block that has left its slice's sums: positions from m on, channels from n to `last` of one group. `write` is
// called for every output of the tile, or four neighbouring ones: write(m, o, sum). `word`: shared memory.
template <int ROWS, int COLUMNS, int THREADS, class Write>
__device__ __forceinline__ void finish_split(const float* partial, unsigned* tickets, unsigned* word, int M, int O,
                                             int m, int n, int last, const Write& write) {
  if (!comes_last(tickets, word)) return;
  if ((O | n | last) % 4 == 0) add_up<float4, ROWS, COLUMNS, THREADS>(partial, M, O, m, n, last, write);
  else add_up<float, ROWS, COLUMNS, THREADS>(partial, M, O, m, n, last, write);
}
