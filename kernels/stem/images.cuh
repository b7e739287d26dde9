// Images as they come, for a kernel that begins with them: a patch's pixels (patch.cuh) out of float32 planes or bytes.
//
//   Planes   x (N, C, H, W) float32, normalised already: rounded to the element
//   Bytes    x (N, H, W, C) uint8: normalised as preprocess.cu does, then rounded to the element
//
// A byte has 256 values: Bytes works out what each of them becomes once a block, so that a pixel of three channels costs
// three loads from shared memory and not six divisions, with the very same bits.
#pragma once
#include "../preprocess/normalise.cuh"
#include "patch.cuh"

struct Planes {
  static constexpr int SHARED = 0;  // numbers of shared memory
  const float* x;
  const Conv& conv;

  __device__ __forceinline__ Pixel pixel(int n, int h, int w) const {
    const size_t plane = (size_t)conv.H * conv.W;
    const float* first = x + n * conv.C * plane + (size_t)h * conv.W + w;
    Pixel pixel;
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) pixel.channel[c] = c < conv.C ? from_float(first[c * plane]) : Stored(0);
    return pixel;
  }
};

struct Bytes {
  static constexpr int SHARED = CHANNELS * 256;
  const unsigned char* x;
  const Conv& conv;
  Stored* table;  // [channel][value]

  // By all threads of the block, which meet before the first pixel.
  template <int threads>
  __device__ __forceinline__ void fill_table(const Normalisation& how) const {
    for (int item = threadIdx.x; item < conv.C * 256; item += threads)
      table[item] = from_float(normalised(item % 256, how, item / 256));
  }

  __device__ __forceinline__ Pixel pixel(int n, int h, int w) const {
    const unsigned char* first = x + (((size_t)n * conv.H + h) * conv.W + w) * conv.C;
    Pixel pixel;
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) pixel.channel[c] = c < conv.C ? table[c * 256 + first[c]] : Stored(0);
    return pixel;
  }
};
