// The head of a ResNet in one kernel: images as they come, the stem on tensor cores, its max pool.
//
//   y[n,p,q,o] = max over the pool's window of relu(bias[o] + sum over r,s,c of
//                weight[o,r,s,c] * x[n, i*stride_h - padding_h + r, j*stride_w - padding_w + s, c])
//                i = p*pool.stride_h - pool.padding_h + r', j likewise; -infinity outside, NaN wins
//
// x is float32 (N, C, H, W) or uint8 (N, H, W, C), normalised on the way (stem/images.cuh); weight (O, KH, taps, 4) as in
// mma.cu, y (N, PH, PW, O). The sums, their order and their rounding are those of mma.cu,
// so that y has the very bits of three kernels: images in or preprocess, stem_mma, max_pool2d.
//
// Idea: the stem's result is the largest tensor of the network, four times what the pool leaves of it, and the images
// in NHWC are only read back; here neither is written. The block keeps the weights of `columns` filters in shared
// memory and goes down a band of the image (stem/band.cuh), 8 rows x 16 columns of the convolution at a time: patch of
// pixels, products (mma_rows.cuh), then bias, ReLU and rounding into the ring, then the pooled rows that are complete.
//
// Grid (bands of all images, ceil(O/columns)), block 128. Shared: the ring 8 + KH - 1 rows of 16 x (columns + 8), the
// weights, their bias, the patch, for bytes a table of 1024 numbers: 60 KiB for ResNet's stem in half.
//
// It wastes: 16 columns make 7 pooled ones of 3x3/2, where 14 would do, so products are computed 16/14 times; a patch
// is not loaded while the last is multiplied, other blocks of the multiprocessor have to fill the time.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 sm_75: HMMA.1688.F32 LDSM.16.M88.4 STG.E.128
// Expects: FLOAT16 sm_80: HMMA.16816.F32 LDSM.16.M88.4 STG.E.128
// Expects: TF32 sm_80: HMMA.1688.F32.TF32 LDSM.16.M88.4 STG.E.128
#include "../common/activation.cuh"
#include "band.cuh"
#include "images.cuh"
#include "mma_rows.cuh"

template <int columns>
using Rows = Ring<TILE_H, TILE_W, columns>;

// One row of 16 positions into the ring, as y will hold it. `bias` is the block's, in shared memory.
template <int columns>
__device__ __forceinline__ void put_row(Stored* to, const float (&sums)[columns / 8][4], const float* bias,
                                        int activation, int lane) {
#pragma unroll
  for (int j = 0; j < columns / 8; j++) {
    const int column = 8 * j + lane % 4 * 2;
    const float2 b = *reinterpret_cast<const float2*>(bias + column);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float pair[2] = {none_or_relu(sums[j][2 * half] + b.x, activation),
                             none_or_relu(sums[j][2 * half + 1] + b.y, activation)};
      store_values<2>(to + (lane / 4 + 8 * half) * Rows<columns>::PITCH + column, pair);
    }
  }
}

template <int columns>
__device__ __forceinline__ void load_bias(float* to, const float* bias, int first, int O) {
  for (int k = threadIdx.x; k < columns; k += THREADS) to[k] = first + k < O ? bias[first + k] : 0.f;
}

// `patch` follows ring, weights and bias in shared memory; `images` is ready after the block has met. A window's row has
// `fixed_taps` pixels, or where that is 0 as many as in mma.cu.
template <int columns, int fixed_taps, bool aligned, class Images>
__device__ __forceinline__ void stem_mma_pool(const Images& images, unsigned char* shared, const Stored* weight,
                                              const float* bias, Stored* y, const Conv& conv, const Pool& pool,
                                              int rows) {
  const int taps = fixed_taps ? fixed_taps : conv.KW <= 4 ? 4 : 8;
  const int K = conv.KH * taps * CHANNELS, first = blockIdx.y * columns;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Rows<columns> ring{reinterpret_cast<Stored*>(shared), pool};
  Stored* weights = ring.first + Rows<columns>::numbers(pool);
  float* biases = reinterpret_cast<float*>(weights + columns * (K + SKEW));
  Pixel* patch = reinterpret_cast<Pixel*>(biases + columns);
  const Band band(pool, rows, TILE_W, blockIdx.x);

  load_weights<columns>(weights, weight, first, conv.O, K);
  load_bias<columns>(biases, bias, first, conv.O);
  __syncthreads();  // the table of Bytes is filled
  int p = band.p;
  for (int h = band.top; h < band.bottom; h += TILE_H) {
    load_patch<THREADS>(patch, images, conv, StemTile(band.n, h, band.left), taps);
    __syncthreads();  // the patch is there, and the ring's last rows have been pooled
    float sums[2][columns / 8][4] = {};
    multiply_rows<columns, aligned>(sums, patch, weights, conv, taps, 2 * warp, lane);
#pragma unroll
    for (int i = 0; i < 2; i++)
      put_row<columns>(ring.row(band, h + 2 * warp + i), sums[i], biases, conv.activation, lane);
    __syncthreads();  // the rows are there, and the patch has been read
    const int end = band.finished(pool, h + TILE_H);
    if (pool.KH == 3 && pool.KW == 3) ring.template store_pooled<THREADS, 3>(y, band, p, end, first);
    else ring.template store_pooled<THREADS, 0>(y, band, p, end, first);
    p = max(p, end);
  }
}

// Two blocks a multiprocessor are asked for, more fit: told nothing, the compiler saves registers and spills.
// The table comes first in shared memory, so that all that follows lies on 16 bytes.
#define STEM_MMA_POOL(name, columns, taps, aligned)                                                                 \
  extern "C" __global__ void __launch_bounds__(THREADS, 2)                                                          \
      name##_planes(const float* x, const Stored* weight, const float* bias, Stored* y, Conv conv, Pool pool,       \
                    int rows) {                                                                                     \
    SHARED_MEMORY(unsigned char, shared);                                                                           \
    stem_mma_pool<columns, taps, aligned>(Planes{x, conv}, shared, weight, bias, y, conv, pool, rows);              \
  }                                                                                                                 \
  KERNEL(name##_planes)                                                                                             \
  extern "C" __global__ void __launch_bounds__(THREADS, 2)                                                          \
      name##_bytes(const unsigned char* x, const Stored* weight, const float* bias, Stored* y, Conv conv,           \
                   Pool pool, int rows, Normalisation how) {                                                        \
    SHARED_MEMORY(unsigned char, shared);                                                                           \
    const Bytes images{x, conv, reinterpret_cast<Stored*>(shared)};                                                 \
    images.fill_table<THREADS>(how);                                                                                \
    stem_mma_pool<columns, taps, aligned>(images, shared + Bytes::SHARED * sizeof(Stored), weight, bias, y, conv,   \
                                          pool, rows);                                                              \
  }                                                                                                                 \
  KERNEL(name##_bytes)

STEM_MMA_POOL(stem_mma_pool_64, 64, 8, true)
STEM_MMA_POOL(stem_mma_pool_32, 32, 0, true)
#if ELEMENT != TF32  // a pixel of 4 float32 numbers has 16 bytes
STEM_MMA_POOL(stem_mma_pool_32_apart, 32, 0, false)
#endif
