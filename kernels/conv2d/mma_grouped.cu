// Grouped convolution (ResNeXt) on tensor cores: narrow groups side by side, one patch of x for all taps.
//
// Idea: a group of 4 to 64 channels is too narrow a matrix product for mma.cu, whose blocks would multiply mostly
//   padding. Here a block takes 128 bytes of neighbouring channels of y, whatever groups they are, and 128 or 64
//   positions. It copies the patch of x that these see into shared memory once; each tap then reads it at another
//   offset, so that x comes from memory once and not KH*KW times.
//
//   y[n,i,j,o] = relu(bias[o] + residual[n,i,j,o] + sum over q = 0 .. KH*KW*chunks - 1, e of
//                     filters[o, q, e] * x[n, i*stride - padding + r*dilation, ..., first + chunk*VECTOR + e]),
//   q = (r*KW + s)*chunks + chunk: chunks are the 16-byte pieces of input channels that a warp's channels of y see
//
// A warp's 8*TILES channels share their chunks: `filters` is block-diagonal, arranged on the host with zeros where a
//   channel is not of an output's group, and in the very order of mma's fragments: 8 bytes a lane straight from global
//   memory (L1). One mma takes two values of q, be they two halves of a group or two taps of a narrow one.
//   Multiplies wasted for 3x3, of zeros off the diagonal and an odd q's empty partner:
//     channels a group       4      8     16, 32, 64
//     float16, bfloat16   55 %   10 %          0 %
//     tf32                50 %    0 %          0 %
//   All of it is far below what reading x and writing y costs.
// Because of these zeros a NaN or an infinity spreads to the neighbouring groups of its window.
//
// Thread -> output: warp w takes the channels w % UNITS * 8*TILES.. and the m16 tiles of positions from w / UNITS on.
// Positions are a box of images x 1 << log_h rows x 1 << log_w columns (8 or more: 8 rows of ldmatrix lie in a row of
//   x).
// Grid: x = boxes, y = slabs of COLUMNS channels.  Block: 256.
// Shared: the patch, its pixels (slab_chunks | 1) * 16 bytes apart (odd: 8 neighbours touch all banks), or the
//   epilogue's POSITIONS x (COLUMNS + 8) floats, the larger; then the offset of every q.
//
// Needs C == O, C % VECTOR == 0, and a patch that fits into shared memory; groups of any width.
//
// Still wasted: nothing is multiplied before the whole patch is there (other blocks fill in); with stride 2, 8
//   neighbours touch every other bank twice; patches overlap by their halo, which L2 serves.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 sm_75: HMMA.1688.F32 LDSM STG.E.128
// Expects: FLOAT16 sm_80: HMMA.16816.F32 LDSM LDGSTS STG.E.128
// Expects: BFLOAT16 sm_80: HMMA.16816.F32.BF16 LDSM LDGSTS STG.E.128
// Expects: TF32 sm_80: HMMA.1688.F32.TF32 LDSM LDGSTS STG.E.128
#include "../common/epilogue_tile.cuh"
#include "../common/tensor_core.cuh"

constexpr int COLUMNS = 128 / sizeof(Stored), THREADS = 256, WARPS = THREADS / 32;
constexpr int BLOCKS = __CUDA_ARCH__ < 800 ? 2 : 3;  // of a multiprocessor at a time; Turing's copies need registers

// Positions of y as a box, and the patch of x that they see.
struct Box {
  int image, i, j;      // the first position
  int log_h, log_w;
  int height, width, images;  // of the patch; its first pixel is x[image, i*stride - padding, ...]

  __device__ __forceinline__ Box(const Conv& conv, int positions, int log_h_, int log_w_)
      : log_h(log_h_), log_w(log_w_) {
    const int rows = 1 << log_h, columns = 1 << log_w;
    const int across = (conv.OW + columns - 1) >> log_w, down = (conv.OH + rows - 1) >> log_h;
    const int box = blockIdx.x / across;
    images = positions >> (log_h + log_w);
    image = box / down * images;
    i = box % down << log_h;
    j = (blockIdx.x - box * across) << log_w;
    height = (rows - 1) * conv.stride_h + (conv.KH - 1) * conv.dilation_h + 1;
    width = (columns - 1) * conv.stride_w + (conv.KW - 1) * conv.dilation_w + 1;
  }

  // Where in the patch the window of position p begins, counted in positions.
  __device__ __forceinline__ int corner(int p, const Conv& conv) const {
    const int column = p & ((1 << log_w) - 1), row = p >> log_w & ((1 << log_h) - 1), n = p >> (log_w + log_h);
    return (n * height + row * conv.stride_h) * width + column * conv.stride_w;
  }

  // The output position of p, or -1 outside of y.
  __device__ __forceinline__ int position(int p, const Conv& conv) const {
    const int column = j + (p & ((1 << log_w) - 1)), row = i + (p >> log_w & ((1 << log_h) - 1));
    const int n = image + (p >> (log_w + log_h));
    return n < conv.N && row < conv.OH && column < conv.OW ? (n * conv.OH + row) * conv.OW + column : -1;
  }
};

// Chunks first_chunk .. of every pixel of the patch: eight threads copy the chunks of a pixel, zeros outside the image.
__device__ __forceinline__ void copy_patch(const Stored* x, const Box& box, const Conv& conv, int first_chunk,
                                           int chunks, int pitch, unsigned patch) {
  constexpr int LANES = 8, STEP = THREADS / LANES;
  const int first_pixel = threadIdx.x / LANES, pixels = box.images * box.height * box.width;
  const int h_first = box.i * conv.stride_h - conv.padding_h, w_first = box.j * conv.stride_w - conv.padding_w;
  const int line = first_pixel / box.width;
  int w = first_pixel - line * box.width, n = line / box.height, h = line - n * box.height;
  for (int pixel = first_pixel; pixel < pixels; pixel += STEP) {
    const int image = box.image + n, row = h_first + h, column = w_first + w;
    const bool inside = image < conv.N && (unsigned)row < conv.H && (unsigned)column < conv.W;
    const Stored* from = x + ((size_t)(image * conv.H + row) * conv.W + column) * conv.C;
    for (int chunk = threadIdx.x % LANES; chunk < chunks; chunk += LANES) {
      const int channel = (first_chunk + chunk) * VECTOR;
      const bool valid = inside && channel < conv.C;
      copy_async_16(patch + pixel * pitch + chunk * 16, valid ? from + channel : x, valid);
    }
    for (w += STEP; w >= box.width; w -= box.width)
      if (++h == box.height) h = 0, n++;
  }
  copy_async_commit();
}

// offsets[q], in bytes from a window's corner chunk; a last odd q gets a partner, which meets zeros: itself
__device__ __forceinline__ void find_offsets(int* offsets, int count, const Conv& conv, int chunks, int width,
                                             int pitch) {
  for (int i = threadIdx.x; i < (count + 1) / 2 * 2; i += THREADS) {
    const int q = min(i, count - 1), tap = q / chunks, r = tap / conv.KW, s = tap - r * conv.KW;
    offsets[i] = (r * conv.dilation_h * width + s * conv.dilation_w) * pitch + (q - tap * chunks) * 16;
  }
}

// The sums of one warp: ROW_TILES m16 tiles whose windows begin, for this lane's row, at `corners`, times TILES n8
// tiles.
template <int TILES, int ROW_TILES>
__device__ __forceinline__ void sum_windows(float (&sums)[ROW_TILES][TILES][4], const unsigned (&corners)[ROW_TILES],
                                            const int* offsets, const uint2* filters, int steps) {
  const int lane = threadIdx.x % 32, half = lane / 16;  // ldmatrix's last two matrices are the second q
  uint2 next[TILES];
#pragma unroll
  for (int t = 0; t < TILES; t++) next[t] = filters[t * 32 + lane];
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
    uint2 b[TILES];
#pragma unroll
    for (int t = 0; t < TILES; t++) b[t] = next[t];
    filters += step + 1 < steps ? TILES * 32 : 0;
#pragma unroll
    for (int t = 0; t < TILES; t++) next[t] = filters[t * 32 + lane];
    const int offset = offsets[2 * step + half];
#pragma unroll
    for (int i = 0; i < ROW_TILES; i++) {
      unsigned a[4];
      load_matrix_x4<false>(a, corners[i] + offset);
      round_activations(a);
#pragma unroll
      for (int t = 0; t < TILES; t++) multiply(sums[i][t], a, b[t].x, b[t].y);
    }
  }
}

template <int POSITIONS, int TILES>
__device__ __forceinline__ void convolve_groups(const Stored* x, const Stored* weight, const Outputs& out,
                                                const Conv& conv, int log_h, int log_w, int chunks, int slab_chunks) {
  constexpr int UNIT = 8 * TILES, UNITS = COLUMNS / UNIT, ROW_TILES = POSITIONS / 16 * UNITS / WARPS;
  using Staged = StagedTile<POSITIONS, COLUMNS, THREADS>;
  SHARED_MEMORY(unsigned char, shared);
  const Box box(conv, POSITIONS, log_h, log_w);
  const int width = conv.C / conv.groups, pitch = (slab_chunks | 1) * 16, taps = conv.KH * conv.KW;
  const int patch_bytes = box.images * box.height * box.width * pitch;
  int* offsets = (int*)(shared + max(patch_bytes, Staged::BYTES));
  auto first_chunk = [&](int channel) { return channel / width * width / VECTOR; };  // that an output channel sees

  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, slab = blockIdx.y * COLUMNS;
  const int channel = slab + warp % UNITS * UNIT, first_tile = warp / UNITS * ROW_TILES;
  const unsigned patch = shared_address(shared);
  copy_patch(x, box, conv, first_chunk(slab), slab_chunks, pitch, patch);
  find_offsets(offsets, taps * chunks, conv, chunks, box.width, pitch);

  unsigned corners[ROW_TILES];
#pragma unroll
  for (int i = 0; i < ROW_TILES; i++)
    corners[i] = patch + box.corner((first_tile + i) * 16 + lane % 16, conv) * pitch +
                 (first_chunk(channel) - first_chunk(slab)) * 16;
  copy_async_wait<0>();
  __syncthreads();

  float sums[ROW_TILES][TILES][4] = {};
  const int steps = (taps * chunks + 1) / 2;
  if (channel < conv.O)
    sum_windows<TILES, ROW_TILES>(sums, corners, offsets,
                                  (const uint2*)weight + (size_t)(channel / UNIT) * steps * TILES * 32, steps);

  auto position_of = [&](int p) { return box.position(p, conv); };
  const Staged staged(out, (float*)shared, threadIdx.x, slab, min(slab + COLUMNS, conv.O));
  __syncthreads();  // the patch has been read
#pragma unroll
  for (int i = 0; i < ROW_TILES; i++)
#pragma unroll
    for (int t = 0; t < TILES; t++) staged.put((first_tile + i) * 16, channel - slab + 8 * t, lane, sums[i][t]);
  Packed residual[Staged::PASSES];  // not before the sums have left their registers; ResNeXt has none here
  staged.ask_residual(residual, position_of);
  __syncthreads();
  staged.store(residual, position_of);
}

#define CONV2D_MMA_GROUPED(NAME, POSITIONS, TILES)                                                                 \
  extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)                                                    \
      NAME(const Stored* __restrict__ x, const Stored* __restrict__ weight, const float* __restrict__ bias,        \
           const Stored* __restrict__ residual, Stored* __restrict__ y, const Conv conv, int log_h, int log_w,     \
           int chunks, int slab_chunks) {                                                                          \
    convolve_groups<POSITIONS, TILES>(x, weight, {bias, residual, y, conv.O, conv.activation}, conv, log_h, log_w, \
                                      chunks, slab_chunks);                                                        \
  }                                                                                                                \
  KERNEL(NAME)

// positions x channels of a warp
CONV2D_MMA_GROUPED(conv2d_mma_grouped_128x8, 128, 1)
CONV2D_MMA_GROUPED(conv2d_mma_grouped_128x16, 128, 2)
CONV2D_MMA_GROUPED(conv2d_mma_grouped_64x8, 64, 1)
CONV2D_MMA_GROUPED(conv2d_mma_grouped_64x16, 64, 2)
#if ELEMENT != TF32  // whose slabs of 32 channels are two warps' of 16
CONV2D_MMA_GROUPED(conv2d_mma_grouped_128x32, 128, 4)
CONV2D_MMA_GROUPED(conv2d_mma_grouped_64x32, 64, 4)
#endif
