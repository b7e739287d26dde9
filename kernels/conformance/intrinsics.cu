// One tiny kernel for each intrinsic of common/intrinsics.cuh and common/hopper.cuh. The tests' emulator and a GPU get
// the same data and must give the same numbers, so that a table of PTX's that both bodies misread shows. Registers and
// shared memory are laid out here by those tables, with no help from other headers.
//
// Each kernel says what it is given and what it gives: one block of one warp or one warpgroup, but for the first kind.
// This is no ladder, and no step of one. What only Hopper's kernels use is here for Hopper only.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: none
// Expects: sm_75: LDSM
// Expects: sm_80: LDSM LDGSTS
// Expects: sm_90a: LDSM LDGSTS UTMALDG.2D UTMALDG.4D.IM2COL USETMAXREG fence.mbarrier_init
// Expects: sm_90a: FENCE.VIEW.ASYNC WARPGROUP.ARRIVE fence.proxy.async wgmma.fence
#include "../common/hopper.cuh"

// y[i] = function(x[i]); one thread a number
#define EACH_ELEMENT(name, From, To, function)                             \
  extern "C" __global__ void name(const From* x, To* y) {                  \
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;                    \
    y[i] = function(x[i]);                                                 \
  }                                                                        \
  KERNEL(name)

EACH_ELEMENT(to_half, float, unsigned short, float_to_half)
EACH_ELEMENT(from_half, unsigned short, float, half_to_float)
EACH_ELEMENT(to_bfloat16, float, unsigned short, float_to_bfloat16)
EACH_ELEMENT(from_bfloat16, unsigned short, float, bfloat16_to_float)

// y (10, 32): one warp; five distances of shuffle_xor, of floats, then of shuffle_down, of integers
extern "C" __global__ void shuffles(const float* x, float* y) {
  float value = x[threadIdx.x];
  for (int i = 0; i < 5; i++) {
    y[i * 32 + threadIdx.x] = shuffle_xor(value, 1 << i);
    int taken = shuffle_down(static_cast<int>(value), 1 << i);
    bool is_defined = threadIdx.x + (1 << i) < 32;
    y[(i + 5) * 32 + threadIdx.x] = is_defined ? static_cast<float>(taken) : 0.f;
  }
  warp_sync();
}
KERNEL(shuffles)

// y (32,): one warp; each number or that of the lane five further on, whichever is larger
extern "C" __global__ void larger(const float* x, float* y) {
  float value = x[threadIdx.x];
  y[threadIdx.x] = larger_or_nan(value, shuffle_from(value, (threadIdx.x + 5) % 32));
}
KERNEL(larger)

// y (8, 128, 4): eight groups of copies through a ring of three stages, every fifth thread's is filled with zeros
extern "C" __global__ void copies(const float* x, float* y) {
  SHARED_MEMORY(float4, ring);
  int t = threadIdx.x;
  auto start = [&](int step) {
    copy_async_16(shared_address(ring + step % 3 * 128 + t), x + (step * 128 + t) * 4, t % 5 != 0);
  };
  for (int step = 0; step < 2; step++) {
    start(step);
    copy_async_commit();
  }
  for (int step = 0; step < 8; step++) {
    copy_async_wait<1>();
    __syncthreads();
    if (step + 2 < 8) start(step + 2);
    copy_async_commit();
    reinterpret_cast<float4*>(y)[step * 128 + t] = ring[step % 3 * 128 + 127 - t];
  }
}
KERNEL(copies)

// x (32, 8): rows of four 8x8 matrices, row r of all is put at slot 5*r % 32; y (2, 32, 4): every lane's registers
extern "C" __global__ void load_matrices(const uint4* x, unsigned* y) {
  SHARED_MEMORY(uint4, rows);
  int lane = threadIdx.x;
  rows[5 * lane % 32] = x[lane];
  __syncthreads();
  unsigned straight[4], transposed[4];
  load_matrix_x4<false>(straight, shared_address(rows + 5 * lane % 32));
  load_matrix_x4<true>(transposed, shared_address(rows + 5 * lane % 32));
  for (int i = 0; i < 4; i++) {
    y[lane * 4 + i] = straight[i];
    y[128 + lane * 4 + i] = transposed[i];
  }
}
KERNEL(load_matrices)

// a (16, 8 words), b (8, 8 words): rows of K, b transposed; c, y (16, 8)
#define MMA_CASE(name)                                                                              \
  extern "C" __global__ void case_##name(const unsigned* a, const unsigned* b, const float* c, float* y) { \
    int g = threadIdx.x / 4, t = threadIdx.x % 4;                                                   \
    unsigned fragment[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]}; \
    float sums[4];                                                                                  \
    for (int e = 0; e < 4; e++) sums[e] = c[(g + e / 2 * 8) * 8 + 2 * t + e % 2];                   \
    name(sums, fragment, b[g * 8 + t], b[g * 8 + t + 4]);                                           \
    for (int e = 0; e < 4; e++) y[(g + e / 2 * 8) * 8 + 2 * t + e % 2] = sums[e];                   \
  }                                                                                                 \
  KERNEL(case_##name)

MMA_CASE(mma_float16)

#if __CUDA_ARCH__ >= 800
MMA_CASE(mma_bfloat16)
MMA_CASE(mma_tf32)
EACH_ELEMENT(to_tf32, float, unsigned, float_to_tf32)
#endif

#if __CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1000
// y: a box of the map, as it lies in shared memory
extern "C" __global__ void tensor_2d(const __grid_constant__ TensorMap map, uint4* y, int bytes, int column, int row) {
  SHARED_MEMORY(uint4, box);
  unsigned barrier = shared_address(box) + bytes;
  if (threadIdx.x == 0) {
    barrier_init(barrier, 1);
    barrier_init_fence();
    barrier_expect(barrier, bytes);
    tensor_copy_2d(shared_address(box), &map, barrier, column, row);
  }
  __syncthreads();
  barrier_wait(barrier, 0);
  for (int i = threadIdx.x; i < bytes / 16; i += blockDim.x) y[i] = box[i];
}
KERNEL(tensor_2d)

extern "C" __global__ void tensor_im2col(const __grid_constant__ TensorMap map, uint4* y, int bytes, int c, int w,
                                         int h, int n, int offset_w, int offset_h) {
  SHARED_MEMORY(uint4, box);
  unsigned barrier = shared_address(box) + bytes;
  if (threadIdx.x == 0) {
    barrier_init(barrier, 1);
    barrier_init_fence();
    barrier_expect(barrier, bytes);
    tensor_copy_im2col(shared_address(box), &map, barrier, c, w, h, n, offset_w, offset_h);
  }
  __syncthreads();
  barrier_wait(barrier, 0);
  for (int i = threadIdx.x; i < bytes / 16; i += blockDim.x) y[i] = box[i];
}
KERNEL(tensor_im2col)

// y (10, 32): a warp hands ten rows to another through a ring of two, full and empty told by mbarriers
extern "C" __global__ void barriers(const float* x, float* y) {
  SHARED_MEMORY(float, ring);
  int lane = threadIdx.x % 32;
  unsigned full = shared_address(ring + 64), empty = full + 16;
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; i++) {
      barrier_init(full + 8 * i, 32);
      barrier_init(empty + 8 * i, 32);
    }
    barrier_init_fence();
  }
  __syncthreads();
  for (int step = 0; step < 10; step++) {
    int stage = step % 2, round = step / 2 % 2;
    if (threadIdx.x < 32) {
      barrier_wait(empty + 8 * stage, round ^ 1);
      ring[stage * 32 + lane] = x[step * 32 + lane];
      barrier_arrive(full + 8 * stage);
    } else {
      barrier_wait(full + 8 * stage, round);
      y[step * 32 + lane] = ring[stage * 32 + 31 - lane];
      barrier_arrive(empty + 8 * stage);
    }
  }
}
KERNEL(barriers)
#endif

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
__device__ __forceinline__ unsigned long long descriptor(unsigned address) {
  return (address & 0x3FFFF) >> 4 | 1ull << 16 | 64ull << 32 | 1ull << 62;  // 8 rows are 1024 bytes; 128-byte swizzle
}

// a (64, 128 bytes), b (N, 128 bytes): rows of K; y (64, N) = a b'. Two groups of two steps, each waited for by itself.
#define WGMMA_CASE(name, N)                                                                        \
  extern "C" __global__ void __launch_bounds__(128) case_##name##_##N(const uint4* a, const uint4* b, float* y) { \
    SHARED_MEMORY(uint4, tiles);                                                                   \
    for (int i = threadIdx.x; i < (64 + N) * 8; i += 128)                                          \
      tiles[i ^ i / 8 % 8] = i < 64 * 8 ? a[i] : b[i - 64 * 8];                                    \
    fence_async_proxy();                                                                           \
    __syncthreads();                                                                               \
    float sums[N / 2];                                                                             \
    _Pragma("unroll") for (int i = 0; i < N / 2; i++) sums[i] = 0.f;                               \
    unsigned a_tile = shared_address(tiles), b_tile = a_tile + 64 * 128;                           \
    wgmma_fence();                                                                                 \
    _Pragma("unroll") for (int step = 0; step < 4; step++) {                                       \
      name<N>(sums, descriptor(a_tile + 32 * step), descriptor(b_tile + 32 * step));               \
      if (step % 2) wgmma_commit();                                                                \
    }                                                                                              \
    wgmma_wait<1>();                                                                               \
    wgmma_wait<0>();                                                                               \
    int row = threadIdx.x / 4, t = threadIdx.x % 4;                                                \
    row = row / 8 * 16 + row % 8;                                                                  \
    _Pragma("unroll") for (int i = 0; i < N / 2; i++)                                              \
      y[(row + i / 2 % 2 * 8) * N + i / 4 * 8 + 2 * t + i % 2] = sums[i];                          \
  }                                                                                                \
  KERNEL(case_##name##_##N)

WGMMA_CASE(wgmma_float16, 64)
WGMMA_CASE(wgmma_float16, 112)
WGMMA_CASE(wgmma_float16, 128)
WGMMA_CASE(wgmma_float16, 256)
WGMMA_CASE(wgmma_bfloat16, 64)
WGMMA_CASE(wgmma_bfloat16, 112)
WGMMA_CASE(wgmma_bfloat16, 128)
WGMMA_CASE(wgmma_bfloat16, 256)
WGMMA_CASE(wgmma_tf32, 64)
WGMMA_CASE(wgmma_tf32, 112)
WGMMA_CASE(wgmma_tf32, 128)
WGMMA_CASE(wgmma_tf32, 256)

// Without a swizzle: 16 bytes from one chunk of K to the next, 128 from eight rows to the next, rows 16 bytes apart. So
// rows overlap: each begins at the second chunk of the one before, as a convolution's neighbouring windows do.
__device__ __forceinline__ unsigned long long overlapping(unsigned address) {
  return (address & 0x3FFFF) >> 4 | 1ull << 16 | 8ull << 32;
}

// a (64, 128 bytes): rows of K; patch (119, 16 bytes); y (64, 112) = a b', where row r of b is 128 bytes from chunk r on
#define OVERLAP_CASE(name)                                                                         \
  extern "C" __global__ void __launch_bounds__(128) overlap_##name(const uint4* a, const uint4* patch, float* y) { \
    SHARED_MEMORY(uint4, tiles);                                                                   \
    for (int i = threadIdx.x; i < 64 * 8; i += 128) tiles[i ^ i / 8 % 8] = a[i];                   \
    if (threadIdx.x < 119) tiles[64 * 8 + threadIdx.x] = patch[threadIdx.x];                       \
    fence_async_proxy();                                                                           \
    __syncthreads();                                                                               \
    float sums[56];                                                                                \
    _Pragma("unroll") for (int i = 0; i < 56; i++) sums[i] = 0.f;                                  \
    unsigned a_tile = shared_address(tiles), rows = a_tile + 64 * 128;                             \
    wgmma_fence();                                                                                 \
    _Pragma("unroll") for (int step = 0; step < 4; step++)                                         \
      name<112>(sums, descriptor(a_tile + 32 * step), overlapping(rows + 32 * step));              \
    wgmma_commit();                                                                                \
    wgmma_wait<0>();                                                                               \
    int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, t = threadIdx.x % 4;                   \
    _Pragma("unroll") for (int i = 0; i < 56; i++)                                                 \
      y[(row + i / 2 % 2 * 8) * 112 + i / 4 * 8 + 2 * t + i % 2] = sums[i];                        \
  }                                                                                                \
  KERNEL(overlap_##name)

OVERLAP_CASE(wgmma_float16)
OVERLAP_CASE(wgmma_bfloat16)
OVERLAP_CASE(wgmma_tf32)

// y (256): registers go from the first warpgroup to the two others
extern "C" __global__ void __launch_bounds__(384, 1) registers(const float* x, float* y) {
  if (threadIdx.x < 128) {
    registers_dec<40>();
  } else {
    registers_inc<232>();
    y[threadIdx.x - 128] = x[threadIdx.x - 128] + 1.f;
  }
}
KERNEL(registers)
#endif
