// What a kernel calls: kernels/common/{intrinsics,hopper,tickets}.cuh, and CUDA's own. The machine does it.
#pragma once

struct alignas(64) TensorMap {
  unsigned long long opaque[16];
};

namespace emulator {

[[noreturn]] __attribute__((format(printf, 1, 2))) void fault(const char* format, ...);
int lane();
void shuffle(const char* name, void* value, unsigned bytes, int source_lane);
void copy_async_16(unsigned shared_to, const void* from, bool valid, bool may_wait);
void wait_for_copies(unsigned groups_left);
void load_matrix_x4(unsigned* r, unsigned address, bool transpose);
void finish_products(unsigned groups_left);
void leave(void* to, const void* value, unsigned bytes, unsigned alignment);
void check_ticket();

void wgmma_float16(float* d, int columns, unsigned long long a, unsigned long long b);
void wgmma_bfloat16(float* d, int columns, unsigned long long a, unsigned long long b);
void wgmma_tf32(float* d, int columns, unsigned long long a, unsigned long long b);
void mma_float16(float* c, const unsigned* a, unsigned b0, unsigned b1);
void mma_bfloat16(float* c, const unsigned* a, unsigned b0, unsigned b1);
void mma_tf32(float* c, const unsigned* a, unsigned b0, unsigned b1);

}  // namespace emulator

// ---- threads together

void __syncthreads();
void warp_sync();
[[noreturn]] void __trap();

template <class T> inline T shuffled(const char* name, T value, int source_lane) {
  emulator::shuffle(name, &value, sizeof value, source_lane);
  return value;
}

template <class T> inline T shuffle_xor(T value, int mask) {
  return shuffled("shuffle_xor", value, emulator::lane() ^ mask);
}

template <class T> inline T shuffle_from(T value, int lane) { return shuffled("shuffle_from", value, lane); }

// The last lanes keep their own value.
template <class T> inline T shuffle_down(T value, int lanes) {
  return shuffled("shuffle_down", value, emulator::lane() + lanes);
}

// ---- shared memory, copies, tensor cores

unsigned shared_address(const void* pointer);
void copy_async_commit();

inline void copy_async_16(unsigned shared_to, const void* from, bool valid) {
  emulator::copy_async_16(shared_to, from, valid, __CUDA_ARCH__ >= 800);
}

template <int N> inline void copy_async_wait() { emulator::wait_for_copies(N); }

template <bool transpose> inline void load_matrix_x4(unsigned (&r)[4], unsigned address) {
  emulator::load_matrix_x4(r, address, transpose);
}

inline void mma_float16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  emulator::mma_float16(c, a, b0, b1);
}

inline void mma_bfloat16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  if (__CUDA_ARCH__ < 800) emulator::fault("mma_bfloat16 begins with sm_80");
  emulator::mma_bfloat16(c, a, b0, b1);
}

inline void mma_tf32(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  if (__CUDA_ARCH__ < 800) emulator::fault("mma_tf32 begins with sm_80");
  emulator::mma_tf32(c, a, b0, b1);
}

// ---- Hopper's

void barrier_init(unsigned barrier, int count);
void barrier_init_fence();
void barrier_arrive(unsigned barrier);
void barrier_expect(unsigned barrier, unsigned bytes);
void barrier_wait(unsigned barrier, unsigned parity);
void fence_async_proxy();
void wait_for_launch_ahead();
inline void let_next_launch_begin() {}
template <int N> inline void registers_dec() {}
template <int N> inline void registers_inc() {}

void tensor_copy_2d(unsigned shared_to, const TensorMap* map, unsigned barrier, int x, int y);
void tensor_copy_im2col(unsigned shared_to, const TensorMap* map, unsigned barrier, int c, int w, int h, int n,
                        int offset_w, int offset_h);

void wgmma_fence();
void wgmma_commit();
template <int N> inline void wgmma_results(float (&)[N]) {}
template <int N> inline void wgmma_wait() { emulator::finish_products(N); }

#define WGMMA(name)                                                                                           \
  template <int N> inline void name(float (&d)[N / 2], unsigned long long a, unsigned long long b) {          \
    static_assert(N % 8 == 0 && 8 <= N && N <= 256, "8 to 256 columns, a multiple of 8");                     \
    emulator::name(d, N, a, b);                                                                               \
  }
WGMMA(wgmma_float16)
WGMMA(wgmma_bfloat16)
WGMMA(wgmma_tf32)
#undef WGMMA

// ---- what blocks leave for each other

unsigned draw_ticket(unsigned* counter, unsigned tickets);

template <class T> inline void leave(T* to, T value) {
  static_assert(sizeof(T) <= 16, "");
  emulator::leave(to, &value, sizeof value, alignof(T));
}

template <class T> inline T find(const T* from) {
  emulator::check_ticket();
  return *from;
}
