// Fully connected on tensor cores: 32 images x 32 outputs a block, its 8 warps share out the channels.
//
//   y[n,o] = activation(bias[o] + sum over c of weight[o,c] * x[n,c])
//
// x (N, C) and weight (O, C) as stored, C a multiple of 16 bytes; bias (O,) and y (N, O) float32.
//
// A classifier is a small product with a long sum: too few tiles to fill the device, so a block splits the sum instead.
// Warp w takes every eighth slice of 64 bytes of all 64 rows, straight from global memory into mma's registers, without
// shared memory. mma wants lane (g, t) to hold the numbers t, t + 4 (in units of 4 bytes) of row g: eight-byte crumbs.
// But a sum may be taken in any order, as long as both factors agree. So lane (g, t) loads 16 bytes, number t of the
// slice's four, and gives its four words to two steps:
//
//   step 0: words 0, 1    step 1: words 2, 3    of chunk t = 0..3
//
// Then the eight partial sums of each output meet in shared memory, added in ascending order: the same bits every time.
// Grid (ceil(O/32), ceil(N/32)), block 256, shared 8 x 32 x 33 floats = 33 KiB.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 HMMA
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/tensor_core.cuh"
#include "../common/values.cuh"

constexpr int TILE = 32, WARPS = 8, SLICE = 4 * VECTOR;  // channels: 32 of 16 bits, 16 of 32
constexpr int PITCH = TILE + 1;

// 16 bytes of row `row` of a (count, C) matrix, or zeros outside.
__device__ __forceinline__ uint4 load_chunk(const Stored* matrix, int row, int count, int c, int C) {
  if (row >= count || c >= C) return make_uint4(0, 0, 0, 0);
  return *reinterpret_cast<const uint4*>(matrix + (size_t)row * C + c);
}

// One slice: 2 tiles of 16 images, 4 tiles of 8 outputs, two steps of 32 bytes.
__device__ __forceinline__ void multiply_slice(float (&sums)[2][4][4], const Stored* x, const Stored* weight,
                                               int first_image, int N, int first_output, int O, int c, int C) {
  int row = threadIdx.x % 32 / 4;
  uint4 a[4], b[4];  // images row + 8*i, outputs row + 8*j
#pragma unroll
  for (int i = 0; i < 4; i++) {
    a[i] = load_chunk(x, first_image + row + 8 * i, N, c, C);
    b[i] = load_chunk(weight, first_output + row + 8 * i, O, c, C);
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const uint4 &upper = a[2 * i], &lower = a[2 * i + 1];
    unsigned step0[4] = {upper.x, lower.x, upper.y, lower.y}, step1[4] = {upper.z, lower.z, upper.w, lower.w};
    round_activations(step0);
    round_activations(step1);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      multiply(sums[i][j], step0, b[j].x, b[j].y);
      multiply(sums[i][j], step1, b[j].z, b[j].w);
    }
  }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    linear_mma(const Stored* __restrict__ x, const Stored* __restrict__ weight, const float* __restrict__ bias,
               float* __restrict__ y, int N, int C, int O, Activation activation) {
  __shared__ float partial[WARPS][TILE][PITCH];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int first_image = blockIdx.y * TILE, first_output = blockIdx.x * TILE;
  float sums[2][4][4] = {};
  for (int from = warp * SLICE; from < C; from += WARPS * SLICE)
    multiply_slice(sums, x, weight, first_image, N, first_output, O, from + lane % 4 * VECTOR, C);

#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        partial[warp][16 * i + lane / 4 + e / 2 * 8][8 * j + lane % 4 * 2 + e % 2] = sums[i][j][e];
  __syncthreads();
  for (int item = threadIdx.x; item < TILE * TILE; item += 32 * WARPS) {
    int image = item / TILE, output = item % TILE, n = first_image + image, o = first_output + output;
    if (n >= N || o >= O) continue;
    float value = partial[0][image][output];
#pragma unroll
    for (int w = 1; w < WARPS; w++) value += partial[w][image][output];
    value += bias[o];
    y[(size_t)n * O + o] = activate(value, activation);
  }
}
KERNEL(linear_mma)
