// What begins with sm_90: mbarriers, bulk tensor copies (TMA), launches that overlap; and with sm_90a: wgmma, registers
// handed over between warps. Their meaning is PTX's. The tests' emulator has bodies of the same names for the CPU.
//
//   a pipeline's stage    producer: barrier_expect(full, bytes); tensor_copy_...(stage, map, full, ...)
//                         consumer: barrier_wait(full, parity); wgmma on the stage; barrier_arrive(empty)
#pragma once
#include "intrinsics.cuh"
#ifndef NPRESNET_EMULATOR

// A CUtensorMap: made by the host, passed as `const __grid_constant__ TensorMap map`.
struct __align__(64) TensorMap {
  unsigned long long opaque[16];
};

#if __CUDA_ARCH__ >= 900

// ---- mbarriers: 8 bytes of shared memory each; a phase ends after `count` arrivals and all expected bytes

__device__ __forceinline__ void barrier_init(unsigned barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(barrier), "r"(count) : "memory");
}

// Shows initialised barriers to the copy engine; then __syncthreads shows them to the block.
__device__ __forceinline__ void barrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void barrier_arrive(unsigned barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(barrier) : "memory");
}

// Arrives, and makes the phase wait for that many bytes of tensor copies.
__device__ __forceinline__ void barrier_expect(unsigned barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(barrier), "r"(bytes) : "memory");
}

// Until the phase of that parity is over: 0 for the first, 1 for the second, 0 for the third. Parity 1 passes at once
// on a barrier that has not finished any phase.
__device__ __forceinline__ void barrier_wait(unsigned barrier, unsigned parity) {
  asm volatile("{\n"
               ".reg .pred over;\n"
               "again:\n"
               "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
               "@!over bra again;\n"
               "}" :: "r"(barrier), "r"(parity) : "memory");
}

// Orders this thread's earlier writes to shared memory before what wgmma and the copy engine do later.
__device__ __forceinline__ void fence_async_proxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// ---- bulk tensor copies: one thread starts them, the barrier gets the bytes of the whole box, outside is 0

__device__ __forceinline__ void tensor_copy_2d(unsigned shared_to, const TensorMap* map, unsigned barrier,
                                               int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
               "[%0], [%1, {%3, %4}], [%2];"
               :: "r"(shared_to), "l"(map), "r"(barrier), "r"(x), "r"(y) : "memory");
}

// Pixels of an NHWC tensor from (n, h, w) on, walking the map's bounding box, each moved by the offsets.
__device__ __forceinline__ void tensor_copy_im2col(unsigned shared_to, const TensorMap* map, unsigned barrier,
                                                   int c, int w, int h, int n, int offset_w, int offset_h) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
               "[%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};"
               :: "r"(shared_to), "l"(map), "r"(barrier), "r"(c), "r"(w), "r"(h), "r"(n),
                  "h"(static_cast<unsigned short>(offset_w)), "h"(static_cast<unsigned short>(offset_h)) : "memory");
}

// ---- programmatic dependent launch: a kernel that is launched so may begin before the launch ahead of it has ended

// Until the launches ahead have ended and what they wrote is there; at once where none is under way. Every block waits,
// also where it needs nothing of theirs: who comes later waits for this launch only.
__device__ __forceinline__ void wait_for_launch_ahead() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// The next launch may begin once every block has said so or ended. It promises nothing of what this one writes.
__device__ __forceinline__ void let_next_launch_begin() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

#endif

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// ---- registers handed over between the warpgroups of a block

// N is a multiple of 8 from 24 to 256. The block's sum may not exceed what it began with: who asks for more waits.
template <int N> __device__ __forceinline__ void registers_dec() {
  static_assert(N % 8 == 0 && 24 <= N && N <= 256, "registers come in eights");
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(N));
}

template <int N> __device__ __forceinline__ void registers_inc() {
  static_assert(N % 8 == 0 && 24 <= N && N <= 256, "registers come in eights");
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(N));
}

// ---- wgmma: d (64xN, float32) += a (64xK) * b (NxK, K-major), spread over four warps; a and b are descriptors of
// shared memory. Warp w holds rows 16*w ..., and in it d[4*j + e] = D[lane/4 + e/2*8][8*j + lane%4*2 + e%2].

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int N> __device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory");
}

// Between a wait and what reads the sums: to the compiler they are products' results from the start, and it may move
// arithmetic on them to before the wait, which ptxas then mends with a wait of its own.
template <int N> __device__ __forceinline__ void wgmma_results(float (&sums)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(sums[i]) :: "memory");
}

// "%0, %1, ..." as PTX's operand list wants them, ten at a time: TEN(3) is %30 to %39
#define TEN(t) "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t "9, "
#define FIFTY TEN() TEN(1) TEN(2) TEN(3) TEN(4)
#define SIXTY FIFTY TEN(5)
#define NAMES_32 TEN() TEN(1) TEN(2) "%30, %31"
#define NAMES_56 FIFTY "%50, %51, %52, %53, %54, %55"
#define NAMES_64 SIXTY "%60, %61, %62, %63"
#define NAMES_128 SIXTY TEN(6) TEN(7) TEN(8) TEN(9) TEN(10) TEN(11) "%120, %121, %122, %123, %124, %125, %126, %127"

// the same list as C++ wants it
#define SUMS_4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SUMS_16(i) SUMS_4(i), SUMS_4(i + 4), SUMS_4(i + 8), SUMS_4(i + 12)
#define SUMS_32 SUMS_16(0), SUMS_16(16)
#define SUMS_56 SUMS_32, SUMS_16(32), SUMS_4(48), SUMS_4(52)
#define SUMS_64 SUMS_32, SUMS_16(32), SUMS_16(48)
#define SUMS_128 SUMS_64, SUMS_16(64), SUMS_16(80), SUMS_16(96), SUMS_16(112)

// `rest`: keep d, do not negate; 16-bit types say also that neither operand is transposed
#define WGMMA_SHAPE(n, count, a_name, b_name, k_and_types, rest)                                             \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" #n k_and_types                                            \
               " {" NAMES_##count "}, " a_name ", " b_name ", " rest ";"                                     \
               : SUMS_##count : "l"(a), "l"(b))

#define WGMMA(name, k_and_types, rest)                                                                       \
  template <int N>                                                                                           \
  __device__ __forceinline__ void name(float (&d)[N / 2], unsigned long long a, unsigned long long b) {      \
    static_assert(N == 64 || N == 112 || N == 128 || N == 256, "64, 112, 128 or 256 columns");               \
    if constexpr (N == 64) WGMMA_SHAPE(64, 32, "%32", "%33", k_and_types, rest);                             \
    if constexpr (N == 112) WGMMA_SHAPE(112, 56, "%56", "%57", k_and_types, rest);                           \
    if constexpr (N == 128) WGMMA_SHAPE(128, 64, "%64", "%65", k_and_types, rest);                           \
    if constexpr (N == 256) WGMMA_SHAPE(256, 128, "%128", "%129", k_and_types, rest);                        \
  }

WGMMA(wgmma_float16, "k16.f32.f16.f16", "1, 1, 1, 0, 0")
WGMMA(wgmma_bfloat16, "k16.f32.bf16.bf16", "1, 1, 1, 0, 0")
WGMMA(wgmma_tf32, "k8.f32.tf32.tf32", "1, 1, 1")

#endif
#endif
