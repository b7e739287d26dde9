// The mean, or the maximum, of all channels at each position, NHWC: the spatial attention of CBAM.
//
//   y[p] = (sum over c of x[p,c]) / C        or        max over c of x[p,c], NaN wins        p: position of any image
//
// A warp -> one position: lane l takes the vectors l, l + 32, ... of its channels (16 bytes; one channel in the scalar
// form), so that a warp reads 512 bytes in one run; then a tree of shuffles, always the same.
// Grid ceil(P/8), block (32, 8), no shared memory. Bound by memory. CBAM needs both, and reads x twice.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 SHFL.BFLY
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"

constexpr int WARPS = 8;

template <int width, bool is_max>
__device__ __forceinline__ void channel_reduce(const Stored* __restrict__ x, Stored* __restrict__ y,
                                               unsigned long long positions, int C) {
  unsigned long long p = (unsigned long long)blockIdx.x * WARPS + threadIdx.y;
  if (p >= positions) return;  // the whole warp, so the shuffles below are complete
  const Stored* pixel = x + p * C;
  float found = is_max ? __uint_as_float(0xFF800000u) : 0.f;  // -infinity
  for (int c = threadIdx.x * width; c < C; c += 32 * width) {
    Values<width> values = load_values<width>(pixel + c);
#pragma unroll
    for (int k = 0; k < width; k++) {
      float value = to_float(values.item[k]);
      found = is_max ? larger_or_nan(found, value) : found + value;
    }
  }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    float other = shuffle_xor(found, lanes);
    found = is_max ? larger_or_nan(found, other) : found + other;
  }
  if (threadIdx.x == 0) y[p] = from_float(is_max ? found : found / (float)C);
}

#define CHANNEL_REDUCE(name, width, is_max)                              \
  extern "C" __global__ void __launch_bounds__(32 * WARPS)               \
      name(const Stored* x, Stored* y, unsigned long long positions, int C) { \
    channel_reduce<width, is_max>(x, y, positions, C);                   \
  }                                                                      \
  KERNEL(name)

CHANNEL_REDUCE(channel_mean_vector, VECTOR, false)
CHANNEL_REDUCE(channel_mean_scalar, 1, false)
CHANNEL_REDUCE(channel_max_vector, VECTOR, true)
CHANNEL_REDUCE(channel_max_scalar, 1, true)
