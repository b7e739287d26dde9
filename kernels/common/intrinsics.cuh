// The instructions that C++ has no words for: shared memory, asynchronous copies, matrix loads, tensor cores,
// conversions. Their meaning is PTX's. No CUDA header is needed. The tests' emulator has bodies of the same names.
//
//   sm_75   float16 mma m16n8k8, ldmatrix; copy_async_16 is a plain load and store, there is nothing to wait for
//   sm_80   cp.async, mma m16n8k16 for float16 and bfloat16, m16n8k8 for tf32
//
// hopper.cuh holds what begins with sm_90: mbarriers, bulk tensor copies, wgmma.
#pragma once
#ifndef NPRESNET_EMULATOR

#define KERNEL(name)  // under the emulator: exports a launcher

// Dynamic shared memory. 1024 bytes is the period of the 128-byte swizzle.
#define SHARED_MEMORY(T, name)                                                \
  extern __shared__ __align__(1024) unsigned char dynamic_shared_memory[];    \
  T* name = reinterpret_cast<T*>(dynamic_shared_memory)

// ---- shared memory, copies

// Where `p` lies in the block's shared memory: what the instructions below call an address.
__device__ __forceinline__ unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

// 16 bytes from global to shared memory, or 16 zero bytes. `from` is read only when valid, but must be a pointer.
__device__ __forceinline__ void copy_async_16(unsigned shared_to, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
               :: "r"(shared_to), "l"(from), "r"(valid ? 16 : 0) : "memory");
#else
  uint4 v = valid ? *static_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};"
               :: "r"(shared_to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
#endif
}

// Makes a group of this thread's copies since the last commit.
__device__ __forceinline__ void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until at most the N youngest groups of this thread are in flight.
template <int N> __device__ __forceinline__ void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
#endif
}

// Four 8x8 matrices of 16-bit numbers. Lane 8*i + j names row j (16 bytes) of matrix i, and every lane gets, in r[i],
// the two neighbours [lane/4][lane%4*2 ..] of matrix i, or of its transpose.
template <bool transpose> __device__ __forceinline__ void load_matrix_x4(unsigned (&r)[4], unsigned address) {
  if constexpr (transpose) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
  }
}

// ---- tensor cores: c (16x8, float32) += a (16xK) * b (Kx8), spread over a warp

#define MMA_M16N8(shape_and_types)                                                                         \
  asm volatile("mma.sync.aligned." shape_and_types " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                            \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

__device__ __forceinline__ void mma_float16_k8(float (&c)[4], unsigned a0, unsigned a1, unsigned b) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(b));
}

// K = 16, two numbers a register: with g = lane/4 and t = lane%4*2,
//   a = {A[g][t..], A[g+8][t..], A[g][t+8..], A[g+8][t+8..]}, b0 = B[t..][g], b1 = B[t+8..][g],
//   c = {C[g][t], C[g][t+1], C[g+8][t], C[g+8][t+1]}
__device__ __forceinline__ void mma_float16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
  MMA_M16N8("m16n8k16.row.col.f32.f16.f16.f32");
#else
  mma_float16_k8(c, a[0], a[1], b0);
  mma_float16_k8(c, a[2], a[3], b1);
#endif
}

__device__ __forceinline__ void mma_bfloat16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
  MMA_M16N8("m16n8k16.row.col.f32.bf16.bf16.f32");
#else
  __trap();
#endif
}

// K = 8, one number a register: with g = lane/4 and t = lane%4,
//   a = {A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4]}, b0 = B[t][g], b1 = B[t+4][g], c as above
__device__ __forceinline__ void mma_tf32(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
  MMA_M16N8("m16n8k8.row.col.f32.tf32.tf32.f32");
#else
  __trap();
#endif
}

// ---- conversions

// To the nearest, ties away from zero; the bits of a float32 whose last 13 are 0.
__device__ __forceinline__ unsigned float_to_tf32(float value) {
#if __CUDA_ARCH__ >= 800
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#else
  __trap();
  return 0;
#endif
}

// To the nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ unsigned short float_to_half(float value) {
  unsigned short half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
  return half;
}

__device__ __forceinline__ float half_to_float(unsigned short half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}

// To the nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ unsigned short float_to_bfloat16(float value) {
#if __CUDA_ARCH__ >= 800
  unsigned short bfloat;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bfloat) : "f"(value));
  return bfloat;
#else
  if (value != value) return 0x7FFF;
  unsigned bits = __float_as_uint(value);
  return static_cast<unsigned short>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
#endif
}

__device__ __forceinline__ float bfloat16_to_float(unsigned short bfloat) {
  return __uint_as_float(static_cast<unsigned>(bfloat) << 16);
}

// The larger of two; NaN wins. From sm_80 on +0 is larger than -0.
__device__ __forceinline__ float larger_or_nan(float a, float b) {
#if __CUDA_ARCH__ >= 800
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
  return larger;
#else
  return b > a || b != b ? b : a;
#endif
}

// ---- warps: every lane takes part

template <class T> __device__ __forceinline__ T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}

template <class T> __device__ __forceinline__ T shuffle_down(T value, int lanes) {
  return __shfl_down_sync(0xFFFFFFFFu, value, lanes);
}

template <class T> __device__ __forceinline__ T shuffle_from(T value, int lane) {
  return __shfl_sync(0xFFFFFFFFu, value, lane);
}

__device__ __forceinline__ void warp_sync() { __syncwarp(); }

#endif
