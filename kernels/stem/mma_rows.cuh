// What the stem's mma.sync kernels share: the weights in shared memory, and the products of a warp's two rows of a tile.
#pragma once
#include "../common/tensor_core.cuh"
#include "patch.cuh"

constexpr int WARPS = 4, THREADS = 32 * WARPS;
constexpr int STEP = 32 / sizeof(Stored);  // numbers along K that one mma takes: 32 bytes
constexpr int SKEW = 16 / sizeof(Stored);  // numbers between two rows of weights

// weight rows first .. first + columns - 1 into shared memory, SKEW apart; zeros beyond O.
template <int columns>
__device__ __forceinline__ void load_weights(Stored* to, const Stored* weight, int first, int O, int K) {
  int chunks = K / VECTOR;
  for (int item = threadIdx.x; item < columns * chunks; item += THREADS) {
    int row = item / chunks, k = item % chunks * VECTOR;
    uint4 chunk = make_uint4(0, 0, 0, 0);
    if (first + row < O) chunk = *reinterpret_cast<const uint4*>(weight + (size_t)(first + row) * K + k);
    *reinterpret_cast<uint4*>(to + row * (K + SKEW) + k) = chunk;
  }
}

// a of mma: 32 bytes of each of 16 windows. `window` is where the window of position lane % 16 starts.
__device__ __forceinline__ void load_windows(unsigned (&a)[4], const Stored* window, int lane) {
  load_matrix_x4<false>(a, shared_address(window + lane / 16 * VECTOR));
}

// The same where a window need not start on 16 bytes. `window` is position lane / 4's, `eight` leads 8 positions on.
__device__ __forceinline__ void load_windows_apart(unsigned (&a)[4], const Stored* window, int eight, int lane) {
  const unsigned* words = reinterpret_cast<const unsigned*>(window) + lane % 4;
  const unsigned* lower = reinterpret_cast<const unsigned*>(window + eight) + lane % 4;
  a[0] = words[0], a[1] = lower[0], a[2] = words[4], a[3] = lower[4];
}

// The sums of two rows of positions (row, row + 1 of the tile), all columns.
template <int columns, bool aligned>
__device__ __forceinline__ void multiply_rows(float (&sums)[2][columns / 8][4], const Pixel* patch,
                                              const Stored* weights, const Conv& conv, int taps, int row, int lane) {
  const int pitch = patch_columns(conv, taps), K = conv.KH * taps * CHANNELS;
  const int position = aligned ? lane % 16 : lane / 4, eight = 8 * conv.stride_w * CHANNELS;
  const Stored* window = patch[row * conv.stride_h * pitch + position * conv.stride_w].channel;
  // ldmatrix's matrices: filters 0-7, their second 16 bytes, then filters 8-15. mma wants its two registers of b side
  // by side, or else the compiler moves them.
  const Stored* filter = weights + (lane / 16 * 8 + lane % 8) * (K + SKEW) + lane / 8 % 2 * VECTOR;
  for (int r = 0; r < conv.KH; r++, window += pitch * CHANNELS, filter += taps * CHANNELS)
#pragma unroll
    for (int k = 0; k < taps * CHANNELS; k += STEP) {
      unsigned a[2][4];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const Stored* start = window + i * conv.stride_h * pitch * CHANNELS + k;
        if (aligned) load_windows(a[i], start, lane);
        else load_windows_apart(a[i], start, eight, lane);
        round_activations(a[i]);
      }
#pragma unroll
      for (int j = 0; j < columns / 16; j++) {
        unsigned b[4];
        load_matrix_x4<false>(b, shared_address(filter + j * 16 * (K + SKEW) + k));
#pragma unroll
        for (int i = 0; i < 2; i++) {
          multiply(sums[i][2 * j], a[i], b[0], b[1]);
          multiply(sums[i][2 * j + 1], a[i], b[2], b[3]);
        }
      }
    }
}
