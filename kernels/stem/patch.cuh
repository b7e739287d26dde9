// What the stem kernels share: a block's tiles of output positions, and the patch of the image that a tile reads.
//
// An image has few channels: x is (N, H, W, 4), the channels that are missing being zeros, so that a pixel is one load.
// A tile is 8 x 16 output positions of one image. Their windows overlap; the pixels that they see form a patch of
//
//   patch_rows    = 7 * stride_h + KH
//   patch_columns = 15 * stride_w + taps       taps >= KW: the pixels of a window's row, rounded up to 4 or 8
//
// pixels, read from memory once, zero outside the image.
#pragma once
#include "../common/conv.cuh"
#include "../common/elements.cuh"

constexpr int TILE_H = 8, TILE_W = 16;
constexpr int CHANNELS = 4;

struct alignas(CHANNELS * sizeof(Stored)) Pixel {
  Stored channel[CHANNELS];
};

// Tiles are numbered along the row, then down the image, then over the images.
struct StemTile {
  int n, i, j;  // image, and the position of the tile's corner

  __device__ __forceinline__ StemTile(int n, int i, int j) : n(n), i(i), j(j) {}

  __device__ __forceinline__ StemTile(const Conv& conv, int number) {
    int across = (conv.OW + TILE_W - 1) / TILE_W, down = (conv.OH + TILE_H - 1) / TILE_H;
    j = number % across * TILE_W;
    i = number / across % down * TILE_H;
    n = number / across / down;
  }

  // The tile's position (row, column) as a row of y (N*OH*OW, O), or -1 outside.
  __device__ __forceinline__ int position(const Conv& conv, int row, int column) const {
    int h = i + row, w = j + column;
    return h < conv.OH && w < conv.OW ? (n * conv.OH + h) * conv.OW + w : -1;
  }
};

__device__ __forceinline__ int patch_rows(const Conv& conv) { return (TILE_H - 1) * conv.stride_h + conv.KH; }
__device__ __forceinline__ int patch_columns(const Conv& conv, int taps) { return (TILE_W - 1) * conv.stride_w + taps; }

// x as it lies in memory: (N, H, W) pixels. Others that a patch can be loaded from are in images.cuh.
struct StoredImages {
  const Pixel* x;
  const Conv& conv;

  __device__ __forceinline__ Pixel pixel(int n, int h, int w) const {
    return x[((size_t)n * conv.H + h) * conv.W + w];
  }
};

// The patch of a tile, row by row. A thread's loads do not depend on each other: four are in flight at once.
template <int threads, class Images>
__device__ __forceinline__ void load_patch(Pixel* patch, const Images& images, const Conv& conv, const StemTile& tile,
                                           int taps) {
  int columns = patch_columns(conv, taps), count = patch_rows(conv) * columns;
  int top = tile.i * conv.stride_h - conv.padding_h, left = tile.j * conv.stride_w - conv.padding_w;
#pragma unroll 4
  for (int item = threadIdx.x; item < count; item += threads) {
    int h = top + item / columns, w = left + item % columns;
    bool inside = (unsigned)h < (unsigned)conv.H && (unsigned)w < (unsigned)conv.W;
    patch[item] = inside ? images.pixel(tile.n, h, w) : Pixel{};
  }
}
