// Images that another library holds on the GPU, in any order and any floating type, to NCHW float32.
//
//   y[n,c,h,w] = float(x[n*stride_n + c*stride_c + h*stride_h + w*stride_w])     strides in numbers; 0 and negative ones too
//
// Thread -> one number of y, in order, so that stores run along memory; loads do where the source's rows do. Grid
// ceil(N*C*H*W / 256), block 256, no shared memory.
//
// Bound by memory at best. It wastes: a source in NHWC is read in crumbs of one number in every C, which the caches
// collect; writing the stored NHWC from here would save a pass.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: none
// Expects: all all: LDG.E STG.E
#include "../common/intrinsics.cuh"

// npresnet/cuda/launchers/gather.py packs the same fields.
struct Strided {
  long long stride_n, stride_c, stride_h, stride_w;
  int C, H, W;
};

__device__ __forceinline__ float to_float32(unsigned short half) { return half_to_float(half); }
__device__ __forceinline__ float to_float32(float value) { return value; }
__device__ __forceinline__ float to_float32(double value) { return (float)value; }

template <class Number>
__device__ __forceinline__ void gather(const Number* x, float* y, unsigned long long count, const Strided& from) {
  unsigned long long i = (unsigned long long)blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  unsigned long long row = i / from.W, plane = row / from.H;
  long long w = i % from.W, h = row % from.H, c = plane % from.C, n = plane / from.C;
  y[i] = to_float32(x[n * from.stride_n + c * from.stride_c + h * from.stride_h + w * from.stride_w]);
}

#define GATHER(name, Number)                                                           \
  extern "C" __global__ void __launch_bounds__(256)                                    \
      name(const Number* x, float* y, unsigned long long count, Strided from) {        \
    gather(x, y, count, from);                                                         \
  }                                                                                    \
  KERNEL(name)

GATHER(gather_float16, unsigned short)
GATHER(gather_float32, float)
GATHER(gather_float64, double)
