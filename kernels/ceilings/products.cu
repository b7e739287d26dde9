// A ceiling: how fast wgmma multiplies what lies in shared memory, alone and while the copy engine writes there too.
//
//   y[block] (ROWS, N) = steps * a (ROWS, SLAB) * b (N, SLAB) transposed
//
// Idea: conv2d/wgmma_tma.cu without its need for operands. a and b are loaded once, two warpgroups multiply the same
// slab again and again. A warpgroup's product of a slab reads (64 + N) * 128 bytes for 64 * N * SLAB multiply-adds: the
// smaller N, the more bytes for each. With copies a ring of stages runs beside, as it does in the convolution, but what
// comes in is never read: BOX bytes a step, few enough that L2 can bring them (`copies.cu` measures L2).
//
//   other  (rows, SLAB), rows a multiple of BOX_ROWS: what is copied meanwhile
//   grid   as many blocks as multiprocessors; 384 threads: the producer's warpgroup, two that multiply
//   shared a, b, STAGES boxes, mbarriers
//
// Architectures: sm_90a
// Elements: FLOAT16
// Expects: all sm_90a: HGMMA.64x64x16.F32 HGMMA.64x128x16.F32 HGMMA.64x256x16.F32 UTMALDG.2D SYNCS WARPGROUP.ARRIVE
// Expects: all sm_90a: wgmma.fence fence.mbarrier_init
#include "../common/warpgroup.cuh"

constexpr int CONSUMERS = 2, THREADS = WARPGROUP * (1 + CONSUMERS), ROWS = CONSUMERS * WGMMA_ROWS;
constexpr int STAGES = 6, BOX_ROWS = 64, BOX_BYTES = BOX_ROWS * SLAB_BYTES;

// Where everything lies in shared memory.
template <int N> struct Place {
  unsigned a;
  __device__ __forceinline__ unsigned b() const { return a + ROWS * SLAB_BYTES; }
  __device__ __forceinline__ unsigned box(int stage) const { return b() + N * SLAB_BYTES + stage * BOX_BYTES; }
  __device__ __forceinline__ unsigned loaded() const { return box(STAGES); }  // a barrier: a and b are there
  __device__ __forceinline__ unsigned full(int stage) const { return loaded() + 8 + 8 * stage; }
  __device__ __forceinline__ unsigned empty(int stage) const { return full(STAGES + stage); }
};

template <int N, bool COPIES>
__device__ __forceinline__ void multiply(const Place<N>& at, float* y, int steps) {
  float sums[N / 2];
#pragma unroll
  for (int i = 0; i < N / 2; i++) sums[i] = 0.f;
  const int consumer = threadIdx.x / WARPGROUP - 1, lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
  auto release = [&](int stage) { if (lane == 0) barrier_arrive(at.empty(stage)); };
  barrier_wait(at.loaded(), 0);
  int stage = 0, last = 0;
  unsigned round = 0;
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
    if (COPIES) barrier_wait(at.full(stage), round);
    wgmma_fence();
    multiply_slab<N>(sums, at.a + consumer * WGMMA_ROWS * SLAB_BYTES, at.b());
    wgmma_commit();
    wgmma_wait<1>();
    if (COPIES && step > 0) release(last);
    last = stage;
    if (++stage == STAGES) stage = 0, round ^= 1;
  }
  wgmma_wait<0>();
  wgmma_results(sums);
  float* first = y + ((size_t)blockIdx.x * ROWS + consumer * WGMMA_ROWS + warp * 16 + lane / 4) * N + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < N / 2; i++) first[i / 2 % 2 * 8 * N + i / 4 * 8 + i % 2] = sums[i];
}

template <int N, bool COPIES>
__device__ __forceinline__ void products(const TensorMap* a, const TensorMap* b, const TensorMap* other, float* y,
                                         int rows, int steps) {
  SHARED_MEMORY(unsigned char, shared);
  const Place<N> at = {shared_address(shared)};
  if (threadIdx.x == 0) {
    barrier_init(at.loaded(), 1);
    for (int stage = 0; stage < STAGES; stage++) {
      barrier_init(at.full(stage), 1);
      barrier_init(at.empty(stage), 4 * CONSUMERS);  // every consumer's warps
    }
    barrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x >= WARPGROUP) {
    multiply<N, COPIES>(at, y, steps);
  } else if (threadIdx.x == 0) {
    barrier_expect(at.loaded(), (ROWS + N) * SLAB_BYTES);
    tensor_copy_2d(at.a, a, at.loaded(), 0, 0);
    tensor_copy_2d(at.b(), b, at.loaded(), 0, 0);
    int stage = 0, row = blockIdx.x * BOX_ROWS % rows;
    unsigned round = 1;
#pragma unroll 1
    for (int step = 0; COPIES && step < steps; step++) {
      barrier_wait(at.empty(stage), round);
      barrier_expect(at.full(stage), BOX_BYTES);
      tensor_copy_2d(at.box(stage), other, at.full(stage), 0, row);
      if ((row += BOX_ROWS) == rows) row = 0;
      if (++stage == STAGES) stage = 0, round ^= 1;
    }
  }
}

#define PRODUCTS(name, columns, copies)                                                                \
  extern "C" __global__ void __launch_bounds__(THREADS, 1)                                             \
      name(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,                   \
           const __grid_constant__ TensorMap other, float* y, int rows, int steps) {                   \
    products<columns, copies>(&a, &b, &other, y, rows, steps);                                         \
  }                                                                                                    \
  KERNEL(name)

PRODUCTS(products_64, 64, false)
PRODUCTS(products_128, 128, false)
PRODUCTS(products_256, 256, false)
PRODUCTS(products_64_copies, 64, true)
PRODUCTS(products_128_copies, 128, true)
PRODUCTS(products_256_copies, 256, true)
