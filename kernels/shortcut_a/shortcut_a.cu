// Option A's shortcut, NHWC: every stride-th pixel, and zeros for the channels that are missing.
//
//   y[n,i,j,c] = x[n, i*stride, j*stride, c - before]  for before <= c < before + C, else 0
//
// A clip of T frames, stored as T*H rows, has OT of them in y: every stride-th. An image has one.
//
// Thread -> VECTOR neighbouring channels (16 bytes) of an output pixel, or one in the scalar form.
// Grid (N*OT*OH, ceil(OW * O/width / 128)), block 128; O = before + C + after. Bound by memory. The convolution that
// adds y could read x itself instead.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"

template <int width>
__device__ __forceinline__ void shortcut_a(const Stored* __restrict__ x, Stored* __restrict__ y, int H, int W, int C,
                                           int OH, int OW, int O, int stride, int before, int T, int OT) {
  int in_row = blockIdx.y * 128 + threadIdx.x, vectors = O / width;
  int frame = blockIdx.x / OH, i = blockIdx.x % OH, j = in_row / vectors, c = in_row % vectors * width;
  if (j >= OW) return;
  float copied[width] = {};
  if (c >= before && c < before + C) {
    size_t row = ((size_t)(frame / OT) * T + frame % OT * stride) * H + i * stride;
    size_t pixel = row * W + j * stride;
    Values<width> values = load_values<width>(x + pixel * C + c - before);
#pragma unroll
    for (int k = 0; k < width; k++) copied[k] = to_float(values.item[k]);
  }
  store_values<width>(y + ((size_t)blockIdx.x * OW + j) * O + c, copied);
}

#define SHORTCUT_A(name, width)                                                                            \
  extern "C" __global__ void __launch_bounds__(128)                                                        \
      name(const Stored* x, Stored* y, int H, int W, int C, int OH, int OW, int O, int stride, int before, \
           int T, int OT) {                                                                                \
    shortcut_a<width>(x, y, H, W, C, OH, OW, O, stride, before, T, OT);                                    \
  }                                                                                                        \
  KERNEL(name)

SHORTCUT_A(shortcut_a_vector, VECTOR)
SHORTCUT_A(shortcut_a_scalar, 1)
