// A map with a border, NHWC: zeros, or its own rows and columns in reverse.
//
//   y[n,i,j,c] = x[n, i - top, j - left, c]; outside x it is 0, or with `reflect` the value at the mirrored position:
//   -1 is 1, H is H - 2
//
// Thread -> VECTOR neighbouring channels (16 bytes) of an output pixel, or one in the scalar form.
// Grid (N*OH, ceil(OW * C/width / 128)), block 128. Bound by memory. A convolution that took the border from x itself
// would save writing and reading y.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"

// Position `i` of an axis of `size`, mirrored into it.
__device__ __forceinline__ int mirrored(int i, int size) { return i < 0 ? -i : i >= size ? 2 * size - 2 - i : i; }

template <int width>
__device__ __forceinline__ void pad2d(const Stored* __restrict__ x, Stored* __restrict__ y, int H, int W, int C, int OH,
                                      int OW, int top, int left, int reflect) {
  int in_row = blockIdx.y * 128 + threadIdx.x, vectors = C / width;
  int n = blockIdx.x / OH, i = blockIdx.x % OH - top, j = in_row / vectors - left, c = in_row % vectors * width;
  if (j + left >= OW) return;
  if (reflect) {
    i = mirrored(i, H);
    j = mirrored(j, W);
  }
  float copied[width] = {};
  if (i >= 0 && i < H && j >= 0 && j < W) {
    Values<width> values = load_values<width>(x + (((size_t)n * H + i) * W + j) * C + c);
#pragma unroll
    for (int k = 0; k < width; k++) copied[k] = to_float(values.item[k]);
  }
  store_values<width>(y + (size_t)blockIdx.x * OW * C + (size_t)in_row * width, copied);
}

#define PAD2D(name, width)                                                                                     \
  extern "C" __global__ void __launch_bounds__(128)                                                            \
      name(const Stored* x, Stored* y, int H, int W, int C, int OH, int OW, int top, int left, int reflect) {  \
    pad2d<width>(x, y, H, W, C, OH, OW, top, left, reflect);                                                   \
  }                                                                                                            \
  KERNEL(name)

PAD2D(pad2d_vector, VECTOR)
PAD2D(pad2d_scalar, 1)
