// The head of a ResNet on Hopper: images as they come, the stem by wgmma straight from the pixels, its 3x3/2 max pool.
//
//   y[n,p,q,o] = max over the pool's window of relu(bias[o] + sum over r,s,c of
//                weight[o,r,s,c] * x[n, i*stride_h - padding_h + r, 2*j - padding_w + s, c])
//                i = 2p-1 .. 2p+1, j = 2q-1 .. 2q+1; -infinity outside, NaN wins
//
// x is float32 (N, C, H, W) or uint8 (N, H, W, C), see stem/images.cuh; y (N, ceil(OH/2), ceil(OW/2), O). Weights lie as
// wgmma wants them, (ceil(O/64), 28, 64, 8): 16-byte chunks of K, each of 64 filters, zeros where there is no tap,
// channel or filter. K = 7 rows x 8 pixels x 4 channels.
//
// Idea: at stride 2, with 4 halves a pixel, the windows of neighbouring outputs begin 16 bytes apart. So a row of pixels
// in shared memory is an operand of wgmma as it lies, without swizzle: its rows are windows and overlap, 16 bytes from
// window to window, 16 bytes from chunk to chunk of K, 128 bytes from eight windows to the next eight. Nothing is copied
// into im2col order, and every pixel is loaded once a block.
//
//   A 64 filters x K, B 112 windows of one row of the convolution x K; 14 products m64n112k16 a row
//
// The block goes down a band of `rows` pooled rows, row by row of the convolution. While a row is multiplied its threads
// load the stride_h rows of pixels that the next one needs, into a ring of 7 + stride_h rows. The pool works on the
// raw sums in registers, for bias, ReLU and rounding keep the order of numbers: three columns by a shuffle between the
// four lanes that share a filter, three rows by keeping the largest so far. What is complete gets bias and ReLU, passes
// through shared memory and is stored in 16 bytes of channels.
//
// Warp w has filters 16w ..; of each, lane % 4 has pairs of columns. 112 columns are 56 pooled ones, those of a 224
// image; a wider row is cut every 110, for the column left of a piece is computed again. Grid (pieces x bands of all
// images, ceil(O/64)), block 128. Shared: weights, ring, 56 x 72 pooled numbers, for bytes a table: 54 KiB in half.
//
// It wastes: columns that a narrow row does not fill; a third of the products, with zeros (the eighth pixel, the fourth
// channel); a warpgroup waits for its own products, other blocks of the multiprocessor fill the time.
//
// Architectures: sm_90a
// Elements: FLOAT16 BFLOAT16
// Expects: FLOAT16 sm_90a: HGMMA.64x112x16.F32 WARPGROUP.DEPBAR STG.E.128 FMNMX.NAN
// Expects: BFLOAT16 sm_90a: HGMMA.64x112x16.F32.BF16 WARPGROUP.DEPBAR STG.E.128 FMNMX.NAN
// Expects: all sm_90a: FENCE.VIEW.ASYNC WARPGROUP.ARRIVE fence.proxy.async wgmma.fence
#include "../common/pool.cuh"
#include "../common/warpgroup.cuh"
#include "images.cuh"

constexpr int KH = 7;  // unrolled: across a loop of unknown length ptxas would add waits
constexpr int FILTERS = 64, COLUMNS = 112, POOLED = COLUMNS / 2, THREADS = WARPGROUP;
constexpr int PIXELS = 2 * (COLUMNS - 1) + 8, ROW_BYTES = PIXELS * sizeof(Pixel);
constexpr int CHUNK_BYTES = FILTERS * 16;  // of the weights, one chunk of K
constexpr int PITCH = FILTERS + 8;         // numbers between two pooled positions: four of them in different banks
constexpr int SUMS = COLUMNS / 2;          // of a thread: of 2 filters, 28 columns
static_assert(ROW_BYTES % 16 == 0, "every row begins on 16 bytes");

// An operand without swizzle: `leading` bytes from one 16-byte chunk of K to the next, `stride` from eight rows to the
// next eight, the eight being 16 bytes apart. In units of 16 bytes each.
__device__ __forceinline__ unsigned long long plain_operand(unsigned address, unsigned leading, unsigned stride) {
  return (address & 0x3FFFFu) >> 4 | (unsigned long long)(leading >> 4) << 16 |
         (unsigned long long)(stride >> 4) << 32;
}

struct Piece {
  int n, p, p_end, q, q_end;  // image; pooled rows and columns p .. p_end - 1, q .. q_end - 1
  int top, bottom, left;      // rows top .. bottom - 1 of the convolution, and its columns from left on

  // Pieces are numbered along the row, then down the image, then over the images.
  __device__ __forceinline__ Piece(const Pool& pool, int rows, int number) {
    const int across = max((pool.OW + POOLED - 3) / (POOLED - 1), 1), down = (pool.OH + rows - 1) / rows;
    const int piece = number % across;
    left = piece * (COLUMNS - 2);
    q = left / 2 + (piece > 0), q_end = min(left / 2 + POOLED, pool.OW);
    p = number / across % down * rows, p_end = min(p + rows, pool.OH);
    n = number / across / down;
    top = max(2 * p - 1, 0), bottom = min(2 * p_end, pool.H);
  }
};

// A ring of rows of pixels, from `first` of the image on.
template <class Images>
struct PixelRows {
  Pixel* ring;
  const Images& images;
  const Conv& conv;
  int n, first, left;  // image, its row and column; perhaps outside

  __device__ __forceinline__ int slot(int h) const { return (h - first) % (KH + conv.stride_h); }

  __device__ __forceinline__ void load(int h, int count) const {
#pragma unroll 4
    for (int item = threadIdx.x; item < count * PIXELS; item += THREADS) {
      const int row = h + item / PIXELS, column = item % PIXELS, w = left + column;
      const bool inside = (unsigned)row < (unsigned)conv.H && (unsigned)w < (unsigned)conv.W;
      ring[slot(row) * PIXELS + column] = inside ? images.pixel(n, row, w) : Pixel{};
    }
  }
};

// One row of the convolution, from the image's row h on; only started.
template <class Images>
__device__ __forceinline__ void multiply_row(float (&sums)[SUMS], unsigned weights, const PixelRows<Images>& rows,
                                             int h) {
#pragma unroll
  for (int r = 0; r < KH; r++) {
    const unsigned pixels = shared_address(rows.ring) + rows.slot(h + r) * ROW_BYTES;
#pragma unroll
    for (int half = 0; half < 2; half++)
      wgmma<COLUMNS>(sums, plain_operand(weights + (4 * r + 2 * half) * CHUNK_BYTES, CHUNK_BYTES, 128),
                     plain_operand(pixels + 32 * half, 16, 128));
  }
}

// Columns beyond the row become -infinity.
__device__ __forceinline__ void mask_columns(float (&sums)[SUMS], int columns) {
#pragma unroll
  for (int i = 0; i < SUMS; i++)
    if (i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2 >= columns) sums[i] = __uint_as_float(0xFF800000u);
}

// pooled[2*j + e] = the largest of columns 2q-1, 2q, 2q+1 with q = 4*j + lane%4, filter lane/4 + 8*e of the warp. The
// thread has the last two; the first is of the lane before it, or of the quad's last lane one pair of columns back.
__device__ __forceinline__ void pool_columns(float (&pooled)[SUMS / 2], const float (&sums)[SUMS]) {
  const int lane = threadIdx.x % 32, before = lane / 4 * 4 + (lane + 3) % 4;
#pragma unroll
  for (int i = 0; i < SUMS / 2; i++) {
    const float last = i < 2 ? __uint_as_float(0xFF800000u) : sums[2 * (i - 2) + 1];
    const float left = shuffle_from(lane % 4 == 3 ? last : sums[2 * i + 1], before);
    pooled[i] = larger_or_nan(larger_or_nan(left, sums[2 * i]), sums[2 * i + 1]);
  }
}

// The block's pooled row into shared memory, as y will hold it.
__device__ __forceinline__ void stage(Stored* staged, const float (&pooled)[SUMS / 2], const float (&bias)[2],
                                      int activation) {
  const int lane = threadIdx.x % 32;
  Stored* to = staged + lane % 4 * PITCH + threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < SUMS / 2; i++)
    to[i / 2 * 4 * PITCH + i % 2 * 8] = from_float(none_or_relu(pooled[i] + bias[i % 2], activation));
}

__device__ __forceinline__ void store(Stored* y, const Stored* staged, const Piece& piece, const Pool& pool, int p,
                                      int channel) {
  constexpr int CHUNKS = FILTERS / VECTOR;
  for (int item = threadIdx.x; item < (piece.q_end - piece.q) * CHUNKS; item += THREADS) {
    const int q = piece.q + item / CHUNKS, column = item % CHUNKS * VECTOR, o = channel + column;
    const Stored* from = staged + (q - piece.left / 2) * PITCH + column;
    Stored* to = y + (((size_t)piece.n * pool.OH + p) * pool.OW + q) * pool.C + o;
    if (pool.C % VECTOR == 0) {
      if (o < pool.C) *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
    } else {
      for (int k = 0; k < VECTOR && o + k < pool.C; k++) to[k] = from[k];
    }
  }
}

template <class Images>
__device__ __forceinline__ void stem_wgmma_pool(const Images& images, unsigned char* shared, const Stored* weight,
                                                const float* bias, Stored* y, const Conv& conv, const Pool& pool,
                                                int band_rows) {
  const Piece piece(pool, band_rows, blockIdx.x);
  const int channel = blockIdx.y * FILTERS, chunks = KH * 4 * FILTERS;
  uint4* weights = reinterpret_cast<uint4*>(shared);
  Pixel* ring = reinterpret_cast<Pixel*>(weights + chunks);
  Stored* staged = reinterpret_cast<Stored*>(ring + (KH + conv.stride_h) * PIXELS);
  int h = piece.top * conv.stride_h - conv.padding_h;  // where the row's windows begin
  const PixelRows<Images> rows{ring, images, conv, piece.n, h, 2 * piece.left - conv.padding_w};

  const uint4* block_weights = reinterpret_cast<const uint4*>(weight) + (size_t)blockIdx.y * chunks;
  for (int k = threadIdx.x; k < chunks; k += THREADS) weights[k] = block_weights[k];
  const int filter = channel + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
  const float biases[2] = {filter < conv.O ? bias[filter] : 0.f, filter + 8 < conv.O ? bias[filter + 8] : 0.f};
  float best[SUMS / 2];
#pragma unroll
  for (int i = 0; i < SUMS / 2; i++) best[i] = __uint_as_float(0xFF800000u);
  __syncthreads();  // the table of Bytes is filled
  rows.load(h, KH);
  fence_async_proxy();  // of the weights as well
  __syncthreads();
#pragma unroll 1
  for (int i = piece.top; i < piece.bottom; i++, h += conv.stride_h) {
    float sums[SUMS];
#pragma unroll
    for (int k = 0; k < SUMS; k++) sums[k] = 0.f;
    wgmma_fence();
    multiply_row(sums, shared_address(weights), rows, h);
    wgmma_commit();
    if (i + 1 < piece.bottom) rows.load(h + KH, conv.stride_h);
    fence_async_proxy();  // for the next row
    wgmma_wait<0>();
    wgmma_results(sums);
    if (piece.left + COLUMNS > conv.OW) mask_columns(sums, conv.OW - piece.left);
    float pooled[SUMS / 2];
    pool_columns(pooled, sums);
#pragma unroll
    for (int k = 0; k < SUMS / 2; k++) best[k] = larger_or_nan(best[k], pooled[k]);
    const bool complete = i / 2 >= piece.p && (i % 2 == 1 || i + 1 == conv.OH);
    if (complete && i % 2 == 0) __syncthreads();  // the pooled row above has been stored
    if (complete) stage(staged, best, biases, conv.activation);
    if (i % 2 == 1)
#pragma unroll
      for (int k = 0; k < SUMS / 2; k++) best[k] = pooled[k];  // the first of the next three rows
    __syncthreads();  // pixels and pooled row are there; everybody's products are done
    if (complete) store(y, staged, piece, pool, i / 2, channel);
  }
}

#define STEM_WGMMA_POOL(name)                                                                                        \
  extern "C" __global__ void __launch_bounds__(THREADS, 3)                                                           \
      name##_planes(const float* x, const Stored* weight, const float* bias, Stored* y, Conv conv, Pool pool,        \
                    int rows) {                                                                                      \
    SHARED_MEMORY(unsigned char, shared);                                                                            \
    stem_wgmma_pool(Planes{x, conv}, shared, weight, bias, y, conv, pool, rows);                                     \
  }                                                                                                                  \
  KERNEL(name##_planes)                                                                                              \
  extern "C" __global__ void __launch_bounds__(THREADS, 3)                                                           \
      name##_bytes(const unsigned char* x, const Stored* weight, const float* bias, Stored* y, Conv conv, Pool pool, \
                   int rows, Normalisation how) {                                                                    \
    SHARED_MEMORY(unsigned char, shared);                                                                            \
    const Bytes images{x, conv, reinterpret_cast<Stored*>(shared)};                                                  \
    images.fill_table<THREADS>(how);                                                                                 \
    stem_wgmma_pool(images, shared + Bytes::SHARED * sizeof(Stored), weight, bias, y, conv, pool, rows);             \
  }                                                                                                                  \
  KERNEL(name##_bytes)

STEM_WGMMA_POOL(stem_wgmma_pool)
