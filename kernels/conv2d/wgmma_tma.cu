// Convolution on Hopper, all units at work at once: one thread feeds the copy engine (TMA), two warpgroups multiply.
//
//   y[m, o] = relu(bias[o] + residual[m, o] + sum over k of  x_im2col[m, k] * weight[o, k])       k = (r*KW + s)*C + c
//
// Idea: the copy engine knows what a convolution is. One instruction fetches a slab of im2col's matrix, ROWS output
// positions x 128 bytes of channels of one tap (r, s), with stride, padding and the step to the next image, zeros
// outside, swizzled for wgmma. No thread computes addresses, no register holds data on the way.
//
//   producer    thread 0: waits until a stage is empty, says how many bytes will come, starts two copies
//   consumers   warpgroups 1 and 2: wait until a stage is full, multiply, say that it is empty; then write y
//   block       persistent: tile blockIdx.x, + gridDim.x, ...; while consumers write a tile, the next one's slabs come
//   tile        ROWS = 128*BLOCKS positions x COLUMNS channels; a consumer has 64*BLOCKS of the positions
//   grid        as many blocks as multiprocessors, no more than tiles; 384 threads, one block a multiprocessor
//   shared      STAGES * (ROWS + COLUMNS) * 128 bytes, the consumers' strips for the epilogue, 2*STAGES mbarriers of 8
//
// Parity: a stage is filled in rounds 0, 1, 2, ...; round i is over on `full` when parity i % 2 passes, and likewise on
// `empty`. Rounds go on from tile to tile: neither side starts anew.
//
// Registers: 384 threads at 168. The producer needs few: it hands over 128, so that consumers may keep 128 sums.
//
// In tf32 the copy engine rounds what it brings, to the nearest: the tensor maps say so.
//
// Needs C a multiple of a slab, groups 1. A pointwise layer (1x1, stride 1, no padding) needs no im2col: x is the
// matrix. Wasted still: both consumers write at the same time, and the tensor cores wait; the last round of tiles does
// not fill all multiprocessors, and K is not split where there are few tiles.
//
// Architectures: sm_90a
// Elements: TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 sm_90a: HGMMA.64x64x16.F32 HGMMA.64x128x16.F32 HGMMA.64x256x16.F32
// Expects: BFLOAT16 sm_90a: HGMMA.64x64x16.F32.BF16 HGMMA.64x128x16.F32.BF16 HGMMA.64x256x16.F32.BF16
// Expects: TF32 sm_90a: HGMMA.64x64x8.F32.TF32 HGMMA.64x128x8.F32.TF32 HGMMA.64x256x8.F32.TF32
// Expects: all sm_90a: UTMALDG.2D UTMALDG.4D.IM2COL SYNCS USETMAXREG WARPGROUP.ARRIVE fence.mbarrier_init wgmma.fence
#include "../common/warpgroup.cuh"

constexpr int CONSUMERS = 2;  // warpgroups
constexpr int THREADS = WARPGROUP * (1 + CONSUMERS);
constexpr int REGISTERS = 65536 / THREADS / 8 * 8;  // of a thread, where a block has the multiprocessor to itself
constexpr int PRODUCER_REGISTERS = 40, CONSUMER_REGISTERS = 232;
static_assert(PRODUCER_REGISTERS + CONSUMERS * CONSUMER_REGISTERS <= (1 + CONSUMERS) * REGISTERS,
              "consumers wait for ever for registers that the producer does not hand over");

// Where a tile lies, and which tiles there are; columns go first, so that blocks at work together share positions.
template <int ROWS, int COLUMNS>
struct Tiles {
  int columns, count;
  __device__ __forceinline__ explicit Tiles(const Conv& conv) {
    columns = (conv.O + COLUMNS - 1) / COLUMNS;
    count = (conv.N * conv.OH * conv.OW - 1) / ROWS * columns + columns;
  }
  __device__ __forceinline__ int position(int tile) const { return tile / columns * ROWS; }
  __device__ __forceinline__ int channel(int tile) const { return tile % columns * COLUMNS; }
};

// Stages in shared memory, and a pair of mbarriers for each.
template <int ROWS, int COLUMNS, int STAGES, int WIDTH>
struct Pipeline {
  static constexpr int A_BYTES = ROWS * SLAB_BYTES, STAGE_BYTES = A_BYTES + COLUMNS * SLAB_BYTES;
  static constexpr int STRIP = StagedTile<16, WIDTH, 32>::BYTES;
  static constexpr int BARRIERS = STAGES * STAGE_BYTES + 4 * CONSUMERS * STRIP;  // where they begin

  unsigned base;
  int stage = 0;        // the stage at hand
  unsigned round = 0;   // parity of its round

  __device__ __forceinline__ explicit Pipeline(const unsigned char* shared) : base(shared_address(shared)) {}
  __device__ __forceinline__ unsigned a() const { return base + stage * STAGE_BYTES; }
  __device__ __forceinline__ unsigned b() const { return a() + A_BYTES; }
  __device__ __forceinline__ unsigned full(int i) const { return base + BARRIERS + 8 * i; }
  __device__ __forceinline__ unsigned empty(int i) const { return full(STAGES + i); }

  __device__ __forceinline__ void initialise() const {
#pragma unroll
    for (int i = 0; i < STAGES; i++) {
      barrier_init(full(i), 1);               // the producer, and the bytes it expects
      barrier_init(empty(i), 4 * CONSUMERS);  // every consumer's warps
    }
    barrier_init_fence();
  }

  __device__ __forceinline__ void advance() {
    if (++stage == STAGES) stage = 0, round ^= 1;
  }
};

__device__ __forceinline__ bool pointwise(const Conv& conv) {
  return conv.KH * conv.KW * conv.stride_h * conv.stride_w == 1 && conv.padding_h + conv.padding_w == 0;
}

// Starts the copies of every slab of this block's tiles. One thread runs it.
template <int ROWS, int COLUMNS, class Ring>
__device__ __forceinline__ void produce(Ring ring, const TensorMap* activations, const TensorMap* weights,
                                        const Conv& conv) {
  const Tiles<ROWS, COLUMNS> tiles(conv);
  const bool is_matrix = pointwise(conv);
  const int pixels = conv.OH * conv.OW;
  for (int tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
    const int m = tiles.position(tile);
    const int n = m / pixels, i = m % pixels / conv.OW, j = m % conv.OW;
    const int h = i * conv.stride_h - conv.padding_h, w = j * conv.stride_w - conv.padding_w;
    int k = 0;
    for (int r = 0; r < conv.KH; r++)
      for (int s = 0; s < conv.KW; s++)
#pragma unroll 1
        for (int c = 0; c < conv.C; c += SLAB, k += SLAB) {
          const unsigned full = ring.full(ring.stage);
          barrier_wait(ring.empty(ring.stage), ring.round ^ 1);  // the round before; there is none before the first
          barrier_expect(full, Ring::STAGE_BYTES);
          if (is_matrix) tensor_copy_2d(ring.a(), activations, full, c, m);
          else tensor_copy_im2col(ring.a(), activations, full, c, w, h, n, s * conv.dilation_w, r * conv.dilation_h);
          tensor_copy_2d(ring.b(), weights, full, k, tiles.channel(tile));
          ring.advance();
        }
  }
}

// Multiplies and writes this warpgroup's part of this block's tiles.
template <int BLOCKS, int COLUMNS, int WIDTH, class Ring>
__device__ __forceinline__ void consume(Ring ring, float* strip, int consumer, const Conv& conv, const Outputs& out) {
  constexpr int ROWS = WGMMA_ROWS * CONSUMERS * BLOCKS;
  const Tiles<ROWS, COLUMNS> tiles(conv);
  const int slabs = conv.KH * conv.KW * (conv.C / SLAB), positions = conv.N * conv.OH * conv.OW;
  const int first_row = consumer * BLOCKS * WGMMA_ROWS, warp = threadIdx.x / 32 % 4;
  // Each warp answers for itself: its wgmma_wait says nothing of the other three.
  auto release = [&](int stage) { if (threadIdx.x % 32 == 0) barrier_arrive(ring.empty(stage)); };
  for (int tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
    const int position = tiles.position(tile) + first_row + warp * 16;
    WarpEpilogue<BLOCKS, COLUMNS, WIDTH> epilogue(out, strip, position, positions, tiles.channel(tile));
    float sums[BLOCKS][COLUMNS / 2];
#pragma unroll
    for (int block = 0; block < BLOCKS; block++)
#pragma unroll
      for (int i = 0; i < COLUMNS / 2; i++) sums[block][i] = 0.f;
    int last = 0;
#pragma unroll 1
    for (int slab = 0; slab < slabs; slab++) {
      barrier_wait(ring.full(ring.stage), ring.round);
      wgmma_fence();
#pragma unroll
      for (int block = 0; block < BLOCKS; block++)
        multiply_slab<COLUMNS>(sums[block], ring.a() + (first_row + block * WGMMA_ROWS) * SLAB_BYTES, ring.b());
      wgmma_commit();
      wgmma_wait<1>();  // this slab's products run on; those of the slab before are done, its stage is free
      if (slab > 0) release(last);
      last = ring.stage;
      ring.advance();
    }
    wgmma_wait<0>();
    release(last);  // before the epilogue: the producer goes on with the next tile meanwhile
    epilogue.store(sums);
  }
}

template <int BLOCKS, int COLUMNS, int STAGES, int WIDTH>
__device__ __forceinline__ void conv2d_wgmma_tma(const TensorMap* activations, const TensorMap* weights,
                                                 const Conv& conv, const Outputs& out) {
  constexpr int ROWS = WGMMA_ROWS * CONSUMERS * BLOCKS;
  typedef Pipeline<ROWS, COLUMNS, STAGES, WIDTH> Ring;
  SHARED_MEMORY(unsigned char, shared);
  const Ring ring(shared);
  if (threadIdx.x == 0) ring.initialise();
  __syncthreads();
  if (threadIdx.x < WARPGROUP) {
    registers_dec<PRODUCER_REGISTERS>();
    if (threadIdx.x == 0) produce<ROWS, COLUMNS>(ring, activations, weights, conv);
  } else {
    registers_inc<CONSUMER_REGISTERS>();
    const int consumer = threadIdx.x / WARPGROUP - 1, strip = threadIdx.x / 32 - 4;
    float* staged = reinterpret_cast<float*>(shared + STAGES * Ring::STAGE_BYTES + strip * Ring::STRIP);
    consume<BLOCKS, COLUMNS, WIDTH>(ring, staged, consumer, conv, out);
  }
}

// width: channels a warp stages at a time in the epilogue; 32 where stages leave no room for 64
#define CONV2D_WGMMA_TMA(rows, columns, stages, width)                                                              \
  extern "C" __global__ void __launch_bounds__(THREADS, 1) conv2d_wgmma_tma_##rows##x##columns(                     \
      const __grid_constant__ TensorMap activations, const __grid_constant__ TensorMap weights, const float* bias,  \
      const Stored* residual, Stored* y, Conv conv) {                                                               \
    const Outputs out = {bias, residual, y, conv.O, conv.activation};                                               \
    conv2d_wgmma_tma<rows / 128, columns, stages, width>(&activations, &weights, conv, out);                        \
  }                                                                                                                 \
  KERNEL(conv2d_wgmma_tma_##rows##x##columns)

CONV2D_WGMMA_TMA(128, 64, 7, 64)
CONV2D_WGMMA_TMA(128, 128, 5, 64)
CONV2D_WGMMA_TMA(128, 256, 4, 32)
CONV2D_WGMMA_TMA(256, 64, 4, 64)
CONV2D_WGMMA_TMA(256, 128, 4, 32)
