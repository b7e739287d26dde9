// Neighbouring channels of one tensor to neighbouring channels of another, NHWC, and an activation: a slice of channels
// is one such copy, a concatenation one for each of its inputs.
//
//   y[p, to + c] = activation(x[p, start + c])        p: position of any image; c = 0 .. count-1
//
// x has C channels, y has O. Thread -> VECTOR neighbouring channels (16 bytes) of a position, or one in the scalar form.
// Grid ceil(P*count/width / 256), block 256. Bound by memory. The kernels that make x could write into y themselves, and
// those that read a slice could read it where it lies.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/values.cuh"

// npresnet/cuda/launchers/copy_channels.py packs the same fields.
struct Channels {
  int C, start, O, to, count;
};

template <int width>
__device__ __forceinline__ void copy_channels(const Stored* __restrict__ x, Stored* __restrict__ y,
                                              unsigned long long vectors, const Channels& channels,
                                              const Activation& activation) {
  unsigned long long v = (unsigned long long)blockIdx.x * 256 + threadIdx.x;
  if (v >= vectors) return;
  unsigned of_pixel = channels.count / width;
  size_t p = v / of_pixel;
  int c = (int)(v % of_pixel) * width;
  Values<width> values = load_values<width>(x + (p * channels.C + (unsigned)(channels.start + c)));
  float result[width];
#pragma unroll
  for (int k = 0; k < width; k++) result[k] = activate(to_float(values.item[k]), activation);
  store_values<width>(y + (p * channels.O + (unsigned)(channels.to + c)), result);
}

#define COPY_CHANNELS(name, width)                                                                             \
  extern "C" __global__ void __launch_bounds__(256)                                                            \
      name(const Stored* x, Stored* y, unsigned long long vectors, Channels channels, Activation activation) { \
    copy_channels<width>(x, y, vectors, channels, activation);                                                 \
  }                                                                                                            \
  KERNEL(name)

COPY_CHANNELS(copy_channels_vector, VECTOR)
COPY_CHANNELS(copy_channels_scalar, 1)
