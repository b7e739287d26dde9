// Fully connected, tiled: a block computes 32 images x 32 outputs, so every weight it reads serves 32 images.
//
//   y[n,o] = activation(bias[o] + sum over c of weight[o,c] * x[n,c])
//
// x (N, C) and weight (O, C) as stored, bias (O,) and y (N, O) float32. Any N, C, O.
// Slices of 32 channels pass through shared memory as float32, transposed to [channel][image] and [channel][output];
// thread (tx, ty) keeps the sums of images 4*ty .. 4*ty+3 and outputs 4*tx .. 4*tx+3 in registers: 2 loads of 16 bytes
// for 16 multiply-adds.
// Grid (ceil(O/32), ceil(N/32)), block (8, 8), shared 2 x 32 x 36 floats = 9 KiB.
//
// It wastes: each slice waits for its own loads, and 16-bit numbers are multiplied as float32. linear/mma.cu does not.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: LDS FFMA
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/elements.cuh"

constexpr int TILE = 32, PER_THREAD = 4, THREADS = 64;
constexpr int PITCH = TILE + 4;  // a multiple of 16 bytes, and the transposing writes fall into fewer equal banks

// rows first .. first+31, channels from .. from+31 of a (count, C) matrix -> to[channel][row]; 0 outside.
__device__ __forceinline__ void stage(float (&to)[TILE][PITCH], const Stored* matrix, int first, int count, int from,
                                      int C) {
  int thread = threadIdx.y * 8 + threadIdx.x, c = thread % TILE;
#pragma unroll 8
  for (int row = thread / TILE; row < TILE; row += THREADS / TILE) {
    bool inside = first + row < count && from + c < C;
    to[c][row] = inside ? to_float(matrix[(size_t)(first + row) * C + from + c]) : 0.f;
  }
}

__device__ __forceinline__ void multiply_slice(float (&sum)[PER_THREAD][PER_THREAD], const float (&images)[TILE][PITCH],
                                               const float (&outputs)[TILE][PITCH]) {
#pragma unroll 8
  for (int c = 0; c < TILE; c++) {
    float4 a4 = *reinterpret_cast<const float4*>(&images[c][threadIdx.y * PER_THREAD]);
    float4 b4 = *reinterpret_cast<const float4*>(&outputs[c][threadIdx.x * PER_THREAD]);
    float a[PER_THREAD] = {a4.x, a4.y, a4.z, a4.w}, b[PER_THREAD] = {b4.x, b4.y, b4.z, b4.w};
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
#pragma unroll
      for (int j = 0; j < PER_THREAD; j++) sum[i][j] += a[i] * b[j];
  }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    linear_tile(const Stored* __restrict__ x, const Stored* __restrict__ weight, const float* __restrict__ bias,
                float* __restrict__ y, int N, int C, int O, Activation activation) {
  __shared__ __align__(16) float images[TILE][PITCH], outputs[TILE][PITCH];
  int first_image = blockIdx.y * TILE, first_output = blockIdx.x * TILE;
  float sum[PER_THREAD][PER_THREAD] = {};
  for (int from = 0; from < C; from += TILE) {
    stage(images, x, first_image, N, from, C);
    stage(outputs, weight, first_output, O, from, C);
    __syncthreads();
    multiply_slice(sum, images, outputs);
    __syncthreads();  // the next slice overwrites what others may still read
  }
#pragma unroll
  for (int i = 0; i < PER_THREAD; i++)
#pragma unroll
    for (int j = 0; j < PER_THREAD; j++) {
      int n = first_image + threadIdx.y * PER_THREAD + i, o = first_output + threadIdx.x * PER_THREAD + j;
      if (n >= N || o >= O) continue;
      float value = sum[i][j] + bias[o];
      y[(size_t)n * O + o] = activate(value, activation);
    }
}
KERNEL(linear_tile)
