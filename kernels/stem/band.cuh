// What the stem's kernels with a max pool share: a block's band of pooled outputs, and the rows of the convolution that
// it keeps in shared memory until the windows over them are complete.
//
// A band is `rows` pooled rows x the pooled columns whose windows lie within the block's `width` columns of the
// convolution. Those rows are computed from above to below, `height` at a time, once each: a ring in shared memory holds
// the last height + KH - 1 of them. Beside the band to the right its windows are computed again, KW - stride_w columns,
// and below it KH - stride_h rows.
#pragma once
#include "../common/conv.cuh"
#include "../common/pool.cuh"
#include "../common/values.cuh"

struct Band {
  int n, p, p_end, q, q_end;  // image; its pooled rows and columns p .. p_end - 1, q .. q_end - 1
  int top, bottom, left;      // rows top .. bottom - 1 of the convolution, and columns from left on, perhaps outside

  // Bands are numbered along the row, then down the image, then over the images.
  __device__ __forceinline__ Band(const Pool& pool, int rows, int width, int number) {
    const int columns = (width - pool.KW) / pool.stride_w + 1;
    const int across = (pool.OW + columns - 1) / columns, down = (pool.OH + rows - 1) / rows;
    q = number % across * columns, q_end = min(q + columns, pool.OW);
    p = number / across % down * rows, p_end = min(p + rows, pool.OH);
    n = number / across / down;
    top = max(p * pool.stride_h - pool.padding_h, 0);
    bottom = min((p_end - 1) * pool.stride_h - pool.padding_h + pool.KH, pool.H);
    left = q * pool.stride_w - pool.padding_w;
  }

  // The first pooled row that cannot be finished yet, where rows of the convolution are there up to `computed`.
  __device__ __forceinline__ int finished(const Pool& pool, int computed) const {
    if (computed >= bottom) return p_end;
    const int last = computed - pool.KH + pool.padding_h;  // where the lowest complete window begins
    return last < 0 ? 0 : min(last / pool.stride_h + 1, p_end);
  }
};

// Rows of the convolution, stored as y is: `width` positions of `columns` channels each. The 8 numbers between positions
// put the eight that a warp writes at once into different banks.
template <int height, int width, int columns>
struct Ring {
  static constexpr int PITCH = columns + 8;
  static constexpr int CHUNKS = columns / VECTOR;

  Stored* first;
  const Pool& pool;

  __device__ __forceinline__ static int numbers(const Pool& pool) { return (height + pool.KH - 1) * width * PITCH; }

  __device__ __forceinline__ Stored* row(const Band& band, int h) const {
    return first + (h - band.top) % (height + pool.KH - 1) * (width * PITCH);
  }

  // Pooled rows p .. end - 1 of the band, by `threads` threads: 16 bytes of channels each. The window is
  // window x window where that is not 0, else KH x KW. `channel` is that of the ring's first column.
  template <int threads, int window>
  __device__ __forceinline__ void store_pooled(Stored* y, const Band& band, int p, int end, int channel) const {
    const int across = band.q_end - band.q, count = (end - p) * across * CHUNKS;
    for (int item = threadIdx.x; item < count; item += threads) {
      const int column = item % CHUNKS * VECTOR, o = channel + column;
      const int j = band.q + item / CHUNKS % across, i = p + item / CHUNKS / across;
      if (o >= pool.C) continue;
      float best[VECTOR];
#pragma unroll
      for (int k = 0; k < VECTOR; k++) best[k] = __uint_as_float(0xFF800000u);  // -infinity
#pragma unroll
      for (int r = 0; r < (window ? window : pool.KH); r++)
#pragma unroll
        for (int s = 0; s < (window ? window : pool.KW); s++) {
          const int h = i * pool.stride_h - pool.padding_h + r, w = j * pool.stride_w - pool.padding_w + s;
          if ((unsigned)h < (unsigned)pool.H && (unsigned)w < (unsigned)pool.W)
            take_larger<VECTOR>(best, row(band, h) + (w - band.left) * PITCH + column);
        }
      Stored* to = y + (((size_t)band.n * pool.OH + i) * pool.OW + j) * pool.C + o;
      if (pool.C % VECTOR == 0) {
        store_values<VECTOR>(to, best);
        continue;
      }
#pragma unroll
      for (int k = 0; k < VECTOR; k++)
        if (o + k < pool.C) to[k] = from_float(best[k]);
    }
  }
};
