// Softmax over the radix, for split attention: the weights of a channel's R groups. Their order changes as well.
//
//   y[n, (r*G + g)*D + d] = exp(x[n, (g*R + r)*D + d] - max) / sum over s of exp(x[n, (g*R + s)*D + d] - max)
//
// Thread -> one (g, d), all R of its numbers, in three passes. Grid (ceil(G*D/256), N), block 256, no shared memory. A
// few KB: bound by the launch itself. For R = 1 the operation is a sigmoid, which activation.cu computes.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: MUFU.EX2
#include "../common/intrinsics.cuh"
#include "../common/elements.cuh"

extern "C" __global__ void __launch_bounds__(256)
    radix_softmax(const Stored* __restrict__ x, Stored* __restrict__ y, int R, int G, int D) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= G * D) return;
  int g = i / D, d = i % D;
  const Stored* from = x + ((size_t)blockIdx.y * G + g) * R * D + d;
  Stored* to = y + (size_t)blockIdx.y * R * G * D + i;
  float largest = __uint_as_float(0xFF800000u), sum = 0.f;  // -infinity
  for (int r = 0; r < R; r++) largest = larger_or_nan(largest, to_float(from[(size_t)r * D]));
  for (int r = 0; r < R; r++) sum += expf(to_float(from[(size_t)r * D]) - largest);
  for (int r = 0; r < R; r++) to[(size_t)r * G * D] = from_float(expf(to_float(from[(size_t)r * D]) - largest) / sum);
}
KERNEL(radix_softmax)
