// A map times a gate, as squeeze-and-excitation has it, or plus one; then the shortcut of the block and an activation.
//
//   y[n,p,c] = activation(a[n,p,c] * g + residual[n,p,c])        or a[n,p,c] + g, where is_sum
//
//   g = b[n,c], one number a channel; or b[n,p], one a position, where per_position. Two maps are one position of as
//   many channels. residual may be null.
//
// Thread -> VECTOR neighbouring channels (16 bytes) of a position, or one in the scalar form.
// Grid (ceil(P*C/width / 256), N), block 256. Bound by memory: b is read once for each position, from the caches. The
// convolution that reads y could multiply while it loads a.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

// npresnet/cuda/launchers/multiply.py packs the same fields.
struct Gate {
  unsigned vectors, C;  // an image's vectors, and its channels
  int is_sum, per_position;
};

template <int width>
__device__ __forceinline__ void load_gate(float (&g)[width], const Stored* b, unsigned v, const Gate& gate) {
  unsigned of_pixel = gate.C / width, n = blockIdx.y;
  if (gate.per_position) {
    float number = to_float(b[(size_t)n * (gate.vectors / of_pixel) + v / of_pixel]);
#pragma unroll
    for (int k = 0; k < width; k++) g[k] = number;
    return;
  }
  Values<width> values = load_values<width>(b + (size_t)n * gate.C + v % of_pixel * width);
#pragma unroll
  for (int k = 0; k < width; k++) g[k] = to_float(values.item[k]);
}

template <int width>
__device__ __forceinline__ void multiply(const Stored* __restrict__ a, const Stored* __restrict__ b,
                                         const Stored* __restrict__ residual, Stored* __restrict__ y, const Gate& gate,
                                         const Activation& activation) {
  unsigned v = blockIdx.x * 256u + threadIdx.x;
  if (v >= gate.vectors) return;
  size_t i = ((size_t)blockIdx.y * gate.vectors + v) * width;
  Values<width> left = load_values<width>(a + i);
  float g[width], result[width];
  load_gate<width>(g, b, v, gate);
#pragma unroll
  for (int k = 0; k < width; k++) {
    float x = to_float(left.item[k]);
    result[k] = gate.is_sum ? x + g[k] : __fmul_rn(x, g[k]);  // rounded before the residual is added, as on the CPU
  }
  if (residual) {
    Values<width> added = load_values<width>(residual + i);
#pragma unroll
    for (int k = 0; k < width; k++) result[k] += to_float(added.item[k]);
  }
#pragma unroll
  for (int k = 0; k < width; k++) result[k] = activate(result[k], activation);
  store_values<width>(y + i, result);
}

#define MULTIPLY(name, width)                                                                             \
  extern "C" __global__ void __launch_bounds__(256)                                                       \
      name(const Stored* a, const Stored* b, const Stored* residual, Stored* y, Gate gate, Activation activation) { \
    multiply<width>(a, b, residual, y, gate, activation);                                                 \
  }                                                                                                       \
  KERNEL(name)

MULTIPLY(multiply_vector, VECTOR)
MULTIPLY(multiply_scalar, 1)
