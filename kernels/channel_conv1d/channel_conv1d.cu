// A convolution along the channels: one filter of K numbers for all of them, as efficient channel attention has it.
//
//   y[n,c] = activation(bias + sum over j = 0 .. K-1 of weight[j] * x[n, c + j - K/2])
//
// Beside the first and the last channel lie zeros, or, where circular, the channels of the other end (K/2 <= C).
//
// Thread -> one channel. Grid (ceil(C/256), N), block 256, no shared memory. A few KB: bound by the launch itself. The
// global pool before it and the product after it are two more launches of as little.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: FFMA
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/elements.cuh"

extern "C" __global__ void __launch_bounds__(256)
    channel_conv1d(const Stored* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias,
                   Stored* __restrict__ y, int C, int K, int circular, Activation activation) {
  int c = blockIdx.x * 256 + threadIdx.x;
  if (c >= C) return;
  const Stored* image = x + (size_t)blockIdx.y * C;
  float sum = 0.f;
  for (int j = 0; j < K; j++) {
    int from = c + j - K / 2;
    if (circular) from += from < 0 ? C : from >= C ? -C : 0;
    if (from >= 0 && from < C) sum += weight[j] * to_float(image[from]);
  }
  y[(size_t)blockIdx.y * C + c] = from_float(activate(sum + *bias, activation));
}
KERNEL(channel_conv1d)
