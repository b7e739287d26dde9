// From decoded pictures to the network's input: uint8 (N, H, W, channels) -> normalised stored NHWC, padded by zeros.
//
//   y[p,c] = (x[p,c] / 255 - mean[c]) / std[c]     p = 0 .. pixels-1 over all images; y has 8 channels, 4, or x's own
//
// Each of the three steps rounds to float32, as npresnet.images does on the CPU: divisions are true divisions, and no
// product is there to be fused with the difference, so FLOAT32 gives the very same bits.
// Thread -> one pixel, which it stores in 8, 16 or 2 x 16 bytes, or value by value. Grid ceil(pixels/256), block 256, no shared memory.
//
// A quarter of the bytes of a float32 input cross the bus to the device. It wastes: 1-byte loads, though a warp's 96
// bytes lie in one run; and the stem reads y back. Kernels that begin with the images (stem/images.cuh) never write it.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"
#include "normalise.cuh"

template <int padded>
__device__ __forceinline__ void preprocess(const unsigned char* __restrict__ x, Stored* __restrict__ y, unsigned pixels,
                                           const Normalisation& how) {
  unsigned p = blockIdx.x * 256u + threadIdx.x;
  if (p >= pixels) return;
  float pixel[padded] = {};
#pragma unroll
  for (int c = 0; c < (padded < 4 ? padded : 4); c++)
    if (c < how.channels) pixel[c] = normalised(x[(size_t)p * how.channels + c], how, c);
  constexpr int width = padded % 4 ? 1 : padded < VECTOR ? padded : VECTOR;
#pragma unroll
  for (int c = 0; c < padded; c += width) {
    float part[width];
#pragma unroll
    for (int k = 0; k < width; k++) part[k] = pixel[c + k];
    store_values<width>(y + (size_t)p * padded + c, part);
  }
}

#define PREPROCESS(name, padded)                                                    \
  extern "C" __global__ void __launch_bounds__(256)                                 \
      name(const unsigned char* x, Stored* y, unsigned pixels, Normalisation how) { \
    preprocess<padded>(x, y, pixels, how);                                          \
  }                                                                                 \
  KERNEL(name)

PREPROCESS(preprocess_1, 1)  // without padding: for readers that would see it
PREPROCESS(preprocess_2, 2)
PREPROCESS(preprocess_3, 3)
PREPROCESS(preprocess_4, 4)
PREPROCESS(preprocess_8, 8)
