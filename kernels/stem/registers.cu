// The stem in strict float32: register blocking over a patch of the image in shared memory.
//
//   y[n,i,j,o] = relu(bias[o] + sum over r,s,c of
//                     weight[o,r,s,c] * x[n, i*stride_h - padding_h + r, j*stride_w - padding_w + s, c])
//
// x (N, H, W, 4), y (N, OH, OW, O); weight (ceil(O/64), KH, KW, channels, 64): the 64 filters of a block side by side,
// zeros beyond O, and only the channels that there are: 3 of a colour image.
//
// The block keeps its weights in shared memory and walks through `tiles` tiles of 8 x 16 positions; a tile's patch of
// pixels is loaded once (stem/patch.cuh). Thread (filters g = t % 8, positions p = t / 8) keeps the sums of 8
// neighbouring positions of row p / 2 and of 8 filters, 4*g .. 4*g + 3 and 32 + 4*g .. 32 + 4*g + 3, in registers: a
// tap is 14 loads of 16 bytes for 192 multiply-adds. Eight threads read one pixel, which is a broadcast, and 128 bytes
// of weights, which are all banks.
// Grid (ceil(N * ceil(OH/8) * ceil(OW/16) / tiles), ceil(O/64)), block 128. Shared: weights KH * KW * channels * 64
// floats and the patch: 50 KiB for ResNet's stem.
//
// It wastes: every pixel is loaded for each tap that sees it, where neighbouring positions could pass it on.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32
// Expects: FLOAT32 all: FFMA LDS
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "patch.cuh"

constexpr int THREADS = 128, COLUMNS = 64, POSITIONS = 8;
typedef float Sums[POSITIONS][2][4];  // 8 positions, filters 4*g .. and 32 + 4*g ..

__device__ __forceinline__ void multiply_add(float (&sums)[4], float pixel, const float4& filters) {
  sums[0] += pixel * filters.x, sums[1] += pixel * filters.y;
  sums[2] += pixel * filters.z, sums[3] += pixel * filters.w;
}

// One tap. `pixel` is the first position's, `filters` the thread's first of this tap.
template <int channels>
__device__ __forceinline__ void multiply_tap(Sums& sums, const Pixel* pixel, int stride, const float* filters) {
  Pixel pixels[POSITIONS];
#pragma unroll
  for (int q = 0; q < POSITIONS; q++) pixels[q] = pixel[q * stride];
#pragma unroll
  for (int c = 0; c < channels; c++) {
    const float4 low = *reinterpret_cast<const float4*>(filters + c * COLUMNS);
    const float4 high = *reinterpret_cast<const float4*>(filters + c * COLUMNS + 32);
#pragma unroll
    for (int q = 0; q < POSITIONS; q++) {
      multiply_add(sums[q][0], pixels[q].channel[c], low);
      multiply_add(sums[q][1], pixels[q].channel[c], high);
    }
  }
}

// Every position's sums begin as the bias; 0 beyond O.
__device__ __forceinline__ void start_from_bias(Sums& sums, const float* bias, int o, int O) {
#pragma unroll
  for (int half = 0; half < 2; half++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      const int channel = o + 32 * half + e;
      const float start = channel < O ? bias[channel] : 0.f;
#pragma unroll
      for (int q = 0; q < POSITIONS; q++) sums[q][half][e] = start;
    }
}

// Four neighbouring channels of one position; 16 bytes at once where O allows it.
__device__ __forceinline__ void write_four(float* y, float (&sums)[4], int o, const Conv& conv) {
#pragma unroll
  for (int e = 0; e < 4; e++) sums[e] = none_or_relu(sums[e], conv.activation);
  if (conv.O % 4 == 0) {
    if (o < conv.O) *reinterpret_cast<float4*>(y + o) = make_float4(sums[0], sums[1], sums[2], sums[3]);
    return;
  }
#pragma unroll
  for (int e = 0; e < 4; e++)
    if (o + e < conv.O) y[o + e] = sums[e];
}

template <int channels>
__device__ __forceinline__ void stem_registers(const float* x, const float* weight, const float* bias, float* y,
                                               const Conv& conv, int tiles) {
  SHARED_MEMORY(float, weights);
  const int taps = conv.KH * conv.KW, count = taps * channels * COLUMNS, pitch = patch_columns(conv, conv.KW);
  Pixel* patch = reinterpret_cast<Pixel*>(weights + count);
  const int g = threadIdx.x % 8, row = threadIdx.x / 16, column = threadIdx.x / 8 % 2 * POSITIONS;
  const int o = blockIdx.y * COLUMNS + 4 * g;
  const Pixel* window = patch + row * conv.stride_h * pitch + column * conv.stride_w;

  const float4* block_weights = reinterpret_cast<const float4*>(weight + (size_t)blockIdx.y * count);
  for (int k = threadIdx.x; k < count / 4; k += THREADS) reinterpret_cast<float4*>(weights)[k] = block_weights[k];
  for (int t = 0; t < tiles; t++) {
    const StemTile tile(conv, blockIdx.x * tiles + t);
    if (tile.n >= conv.N) return;
    __syncthreads();  // the last patch has been read
    load_patch<THREADS>(patch, StoredImages{reinterpret_cast<const Pixel*>(x), conv}, conv, tile, conv.KW);
    __syncthreads();
    Sums sums;
    start_from_bias(sums, bias, o, conv.O);
    for (int r = 0; r < conv.KH; r++)
      for (int s = 0; s < conv.KW; s++)
        multiply_tap<channels>(sums, window + r * pitch + s, conv.stride_w,
                               weights + (r * conv.KW + s) * channels * COLUMNS + 4 * g);
#pragma unroll
    for (int q = 0; q < POSITIONS; q++) {
      const int position = tile.position(conv, row, column + q);
      if (position < 0) continue;
      write_four(y + (size_t)position * conv.O, sums[q][0], o, conv);
      write_four(y + (size_t)position * conv.O, sums[q][1], o + 32, conv);
    }
  }
}

#define STEM_REGISTERS(name, channels)                                                               \
  extern "C" __global__ void __launch_bounds__(THREADS)                                              \
      name(const float* x, const float* weight, const float* bias, float* y, Conv conv, int tiles) { \
    stem_registers<channels>(x, weight, bias, y, conv, tiles);                                       \
  }                                                                                                  \
  KERNEL(name)

STEM_REGISTERS(stem_registers_3, 3)
STEM_REGISTERS(stem_registers_4, 4)
