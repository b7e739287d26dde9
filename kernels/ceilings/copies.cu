// A ceiling: how fast the copy engine brings boxes from L2 to the multiprocessors, where nobody computes.
//
// Idea: the producer of conv2d/wgmma_tma.cu without its consumers. A stage is filled again as soon as it is full, so
// that STAGES boxes are under way all the time: 128 KB a multiprocessor, more than L2 gives in the time that it takes.
//
//   x      (N, H, W, C), which fits L2; a tile is ROWS positions of its im2col matrix, slab by slab, as `Conv` says;
//          without padding, for zeros come from nowhere
//   block  every pass brings all tiles once: tile (block + pass) % grid, + grid, ...; the next pass another block's,
//          so that no tile stays with one multiprocessor
//   y      a sum of each thread over the 32-bit words of the last boxes, one a stage: y[block * THREADS + thread]
//   grid   as many blocks as multiprocessors, or one; it divides the number of tiles; 128 threads, of which one copies
//   shared STAGES boxes of 16 KB and their mbarriers
//
// Architectures: sm_90a
// Elements: FLOAT16
// Expects: all sm_90a: UTMALDG.2D UTMALDG.4D.IM2COL SYNCS fence.mbarrier_init
#include "../common/conv.cuh"
#include "../common/warpgroup.cuh"

constexpr int THREADS = 128, ROWS = 128, STAGES = 8, BOX_BYTES = ROWS * SLAB_BYTES;

template <bool IM2COL>
__device__ __forceinline__ void copies(const TensorMap* x, unsigned* y, const Conv& conv, int passes) {
  SHARED_MEMORY(unsigned char, shared);
  const unsigned base = shared_address(shared);
  auto full = [&](int stage) { return base + STAGES * BOX_BYTES + 8 * stage; };
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < STAGES; stage++) barrier_init(full(stage), 1);
    barrier_init_fence();
  }
  __syncthreads();

  const int pixels = conv.OH * conv.OW, tiles = conv.N * pixels / ROWS;
  const int count = passes * (tiles / (int)gridDim.x) * conv.KH * conv.KW * (conv.C / SLAB);
  if (threadIdx.x == 0) {
    int stage = 0, left = STAGES;  // of boxes that find their stage empty
    unsigned round = 1;            // parity of the stage's round before
    for (int pass = 0; pass < passes; pass++)
      for (int tile = (blockIdx.x + pass) % gridDim.x; tile < tiles; tile += gridDim.x) {
        const int m = tile * ROWS, n = m / pixels, i = m % pixels / conv.OW, j = m % conv.OW;
        const int h = i * conv.stride_h - conv.padding_h, w = j * conv.stride_w - conv.padding_w;
        for (int r = 0; r < conv.KH; r++)
          for (int s = 0; s < conv.KW; s++)
#pragma unroll 1
            for (int c = 0; c < conv.C; c += SLAB) {
              if (left > 0) left--;
              else barrier_wait(full(stage), round);
              barrier_expect(full(stage), BOX_BYTES);
              const unsigned to = base + stage * BOX_BYTES;
              if (IM2COL) tensor_copy_im2col(to, x, full(stage), c, w, h, n, s * conv.dilation_w, r * conv.dilation_h);
              else tensor_copy_2d(to, x, full(stage), c, m);
              if (++stage == STAGES) stage = 0, round ^= 1;
            }
      }
  }
  __syncthreads();  // from here on a barrier is in its last round

  unsigned sum = 0;
  for (int stage = 0; stage < min(count, STAGES); stage++) {
    barrier_wait(full(stage), (count - 1 - stage) / STAGES & 1);
    const unsigned* words = reinterpret_cast<const unsigned*>(shared + stage * BOX_BYTES);
    for (int i = threadIdx.x; i < BOX_BYTES / 4; i += THREADS) sum += words[i];
  }
  y[blockIdx.x * THREADS + threadIdx.x] = sum;
}

#define COPIES(name, is_im2col)                                                        \
  extern "C" __global__ void __launch_bounds__(THREADS, 1)                             \
      name(const __grid_constant__ TensorMap x, unsigned* y, Conv conv, int passes) {  \
    copies<is_im2col>(&x, y, conv, passes);                                            \
  }                                                                                    \
  KERNEL(name)

COPIES(copies_tile, false)
COPIES(copies_im2col, true)
