// Kernels for test_emulator.py: right ones that become wrong when something is left out, and wrong ones.

enum { NOTHING, BARRIER, WAIT };

extern "C" __global__ void reverse_static(const float* x, float* y, int leave_out) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  if (leave_out != BARRIER) __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x];
}
KERNEL(reverse_static)

extern "C" __global__ void reverse_dynamic(const float* x, float* y, int leave_out) {
  SHARED_MEMORY(float, tile);
  tile[threadIdx.x] = x[threadIdx.x];
  if (leave_out != BARRIER) __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x];
}
KERNEL(reverse_dynamic)

extern "C" __global__ void reverse_by_copies(const float* x, float* y, int leave_out) {
  SHARED_MEMORY(float, tile);
  unsigned t = threadIdx.x;
  if (t % 4 == 0) copy_async_16(shared_address(tile + t), x + t, true);
  copy_async_commit();
  if (leave_out != WAIT) copy_async_wait<0>();
  if (leave_out != BARRIER) __syncthreads();
  y[t] = tile[63 - t];
}
KERNEL(reverse_by_copies)

extern "C" __global__ void leftover_static(const float* x, float* y) {
  __shared__ float tile[64];
  if (blockIdx.x == 0) tile[threadIdx.x] = x[threadIdx.x];
  y[blockIdx.x * 64 + threadIdx.x] = tile[threadIdx.x];
}
KERNEL(leftover_static)

extern "C" __global__ void leftover_dynamic(const float* x, float* y) {
  SHARED_MEMORY(float, tile);
  if (blockIdx.x == 0) tile[threadIdx.x] = x[threadIdx.x];
  y[blockIdx.x * 64 + threadIdx.x] = tile[threadIdx.x];
}
KERNEL(leftover_dynamic)

extern "C" __global__ void rows(const float* x, float* y) {
  y[blockIdx.x * 64 + threadIdx.x] = x[threadIdx.x] + 100.f * blockIdx.x;
}
KERNEL(rows)

// log[0] counts; behind it the warps in the order in which they came, four times
extern "C" __global__ void who_comes_when(int* log) {
  for (int i = 0; i < 4; i++) {
    if (threadIdx.x % 32 == 0) log[1 + log[0]++] = threadIdx.x / 32;
    __syncthreads();
  }
}
KERNEL(who_comes_when)

extern "C" __global__ void fault_in(const float* x, float* y, int block, int thread) {
  __syncthreads();
  if (blockIdx.x == block && threadIdx.x == thread) __trap();
}
KERNEL(fault_in)

__device__ __noinline__ float recurse(volatile float* deeper) {
  volatile float here[256];
  here[0] = deeper ? deeper[0] + 1.f : 0.f;
  return recurse(here) + here[0];
}

extern "C" __global__ void faults(const float* x, float* y, int mode) {
  SHARED_MEMORY(float, shared);
  __shared__ float fixed[16];
  int t = threadIdx.x;
  unsigned a = shared_address(shared), matrix[4];
  if (t == 0) {
    barrier_init(a, 1);
    barrier_init_fence();
  }
  __syncthreads();
  if (mode == 0 && t < 32) barrier_wait(a, 0);
  if (mode == 1 && t < 16) warp_sync();
  if (mode == 2) {
    if (t % 2) warp_sync(); else shuffle_xor(1.f, 1);
  }
  if (mode == 3) copy_async_16(a + 8, x, true);
  if (mode == 4) copy_async_16(a, x + 1, true);
  if (mode == 5) load_matrix_x4<false>(matrix, a + 2);
  if (mode == 6) copy_async_16(a + 4096, x, true);
  if (mode == 7) y[t] = shared_address(x);
  if (mode == 8) {
    copy_async_16(a + 16 * t, x, true);
    load_matrix_x4<false>(matrix, a);
  }
  if (mode == 9) copy_async_16(a, x, true);
  if (mode == 10) shared[-1] = 0.f;
  if (mode == 11) shared[1024 + t] = 0.f;
  if (mode == 12) y[t] = *reinterpret_cast<const float*>(y[0] == 0.f ? 8ull : 0ull);
  if (mode == 13) y[t] = recurse(y);
  if (mode == 14) {
    if (t < 2) barrier_expect(a, 16);
  }
  if (mode == 15) barrier_arrive(a + 16);
  if (mode == 16) barrier_wait(a + 4, 0);
  if (mode == 17) fixed[t == 40 ? mode : 0] = 1.f;
  if (mode == 18) y[t] = t / (mode - 18);
  if (mode == 19) __trap();
  if (mode == 20) barrier_wait(a, 2);
  if (mode == 21) y[t] = shared[-10000 + t];
  __syncthreads();
}
KERNEL(faults)

enum Mistake {
  NONE,
  EARLY_RELEASE,
  WRONG_PARITY,
  TOO_MANY_BYTES,
  TOO_FEW_BYTES,
  NO_SWIZZLE,
  WRONG_STEP,
  NO_WAIT_AT_THE_END,
  WAIT_OFF_BY_ONE,
  RELEASE_FOR_OTHERS
};

// y (64, 64) = a (64, steps * 64) b' (64, steps * 64): one warp brings tiles into a ring of two, four warps multiply
extern "C" __global__ void pipeline(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* y,
                                    int steps, int mistake) {
  SHARED_MEMORY(unsigned char, shared);
  constexpr int TILE = 64 * 128, STAGE = 2 * TILE;
  unsigned ring = shared_address(shared), full = ring + 2 * STAGE, empty = full + 16;
  int t = threadIdx.x;
  if (t == 0) {
    for (int i = 0; i < 4; i++) barrier_init(full + 8 * i, i < 2 ? 1 : 4);  // empty when all four warps say so
    barrier_init_fence();
  }
  __syncthreads();
  if (t == 128) {
    for (int step = 0; step < steps; step++) {
      unsigned to = ring + step % 2 * STAGE, barrier = full + step % 2 * 8;
      barrier_wait(empty + step % 2 * 8, (step / 2 & 1) ^ (mistake == WRONG_PARITY ? 0 : 1));
      barrier_expect(barrier, STAGE + (mistake == TOO_MANY_BYTES ? 16 : mistake == TOO_FEW_BYTES ? -TILE : 0));
      tensor_copy_2d(to, &a, barrier, step * 64, 0);
      tensor_copy_2d(to + TILE, &b, barrier, step * 64, 0);
    }
  }
  if (t >= 128) return;
  float sums[32] = {};
  auto operand = [&](unsigned address) {
    return address >> 4 | 64ull << 16 | 64ull << 32 | (mistake == NO_SWIZZLE ? 0ull : 1ull << 62);
  };
  for (int step = 0; step < steps; step++) {
    unsigned from = ring + step % 2 * STAGE;
    barrier_wait(full + step % 2 * 8, step / 2 & 1);
    wgmma_fence();
    for (int k = 0; k < 4; k++) {
      unsigned at = from + (mistake == WRONG_STEP ? 16 : 32) * k;
      wgmma_float16<64>(sums, operand(at), operand(at + TILE));
    }
    wgmma_commit();
    if (mistake == EARLY_RELEASE && t % 32 == 0) barrier_arrive(empty + step % 2 * 8);
    if (mistake == WAIT_OFF_BY_ONE) {
      wgmma_wait<1>();
    } else if (mistake != NO_WAIT_AT_THE_END || step + 1 < steps) {
      wgmma_wait<0>();
    }
    const bool releases = mistake == RELEASE_FOR_OTHERS ? t >= 124 : t % 32 == 0;  // a warp waits for its own rows
    if (mistake != EARLY_RELEASE && releases) barrier_arrive(empty + step % 2 * 8);
  }
  int row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
  for (int i = 0; i < 32; i++) y[(row + i / 2 % 2 * 8) * 64 + i / 4 * 8 + column + i % 2] = sums[i];
}
KERNEL(pipeline)

enum Lack {
  NO_LACK,
  INIT_FENCE,
  FENCE_AFTER_STORES,
  FENCE_AFTER_COPIES,
  FENCE_OF_OTHERS,
  FENCE_AFTER_LANDING,
  BARRIER_AFTER_FENCE,
  FENCE_BEFORE_BARRIER,
  SUMS_FENCE,
  SECOND_SUMS_FENCE,
  WAIT_BEFORE_STORE,
  BARRIER_AFTER_WAIT,
  FENCE_AFTER_STRIPS,
  WAIT_FOR_COPY
};

// y (64, 64) = x x': threads bring x (64, 64) to shared memory, by stores or by cp.async, four warps multiply it by itself
// and then store over it; at last a bulk copy brings the map's first tile there, added to y. `lack` is what is left out.
extern "C" __global__ void proxies(const __grid_constant__ TensorMap map, const uint4* x, float* y, int lack) {
  SHARED_MEMORY(uint4, tile);
  const unsigned at = shared_address(tile), barrier = at + 8192;
  const bool by_copies = lack == FENCE_AFTER_COPIES || lack == FENCE_AFTER_LANDING;
  const int t = threadIdx.x;
  if (t == 0) barrier_init(barrier, 1);
  if (t == 0 && lack != INIT_FENCE) barrier_init_fence();
  for (int i = t; i < 512; i += 128) {
    if (by_copies) copy_async_16(at + 16 * (i ^ i / 8 % 8), x + i, true);
    else tile[i ^ i / 8 % 8] = x[i];
  }
  copy_async_commit();
  if (lack == FENCE_AFTER_LANDING) fence_async_proxy();
  copy_async_wait<0>();
  if (lack == FENCE_BEFORE_BARRIER) __syncthreads();
  if (lack == FENCE_OF_OTHERS ? t != 77 : lack != FENCE_AFTER_STORES && !by_copies) fence_async_proxy();
  if (lack != BARRIER_AFTER_FENCE && lack != FENCE_BEFORE_BARRIER) __syncthreads();
  float sums[32] = {};
  for (int half = 0; half < 2; half++) {
    if (lack != SUMS_FENCE && (half == 0 || lack != SECOND_SUMS_FENCE)) wgmma_fence();
    for (int k = 2 * half; k < 2 * half + 2; k++) {
      unsigned long long operand = at + 32 * k >> 4 | 64ull << 16 | 64ull << 32 | 1ull << 62;
      wgmma_float16<64>(sums, operand, operand);
    }
    wgmma_commit();
    if (lack != WAIT_BEFORE_STORE) wgmma_wait<0>();
  }
  if (lack != BARRIER_AFTER_WAIT) __syncthreads();  // the other warps' products are done, too
  tile[t] = x[t];
  if (lack == WAIT_BEFORE_STORE) wgmma_wait<0>();
  if (lack != FENCE_AFTER_STRIPS) fence_async_proxy();
  __syncthreads();
  if (t == 0) {
    barrier_expect(barrier, 8192);
    tensor_copy_2d(at, &map, barrier, 0, 0);
  }
  if (t == 64 && lack == WAIT_FOR_COPY) tile[t] = x[t];
  barrier_wait(barrier, 0);
  const unsigned short* landed = reinterpret_cast<const unsigned short*>(tile);
  int row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
  for (int i = 0; i < 32; i++) {
    int r = row + i / 2 % 2 * 8, c = i / 4 * 8 + column + i % 2;
    y[r * 64 + c] = sums[i] + half_to_float(landed[r * 64 + (c / 8 ^ r % 8) * 8 + c % 8]);
  }
}
KERNEL(proxies)
