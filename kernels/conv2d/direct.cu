// Convolution as its definition says it: one thread, one output.
//
// Idea: of the seven loops, those over n, i, j and o are the grid; r, s and c stay loops. Nothing is shared, nothing is
//   kept. Any stride, padding, dilation, groups and element: the fallback for everything, and what the faster kernels
//   are compared with on the device.
//
//   y[n,i,j,o] = relu(bias[o] + residual[n,i,j,o] + sum over r,s,c of weight[o,r,s,c] * x[n, h, w, g(o)*C/groups + c]),
//   h = i*stride_h - padding_h + r*dilation_h,  w = j*stride_w - padding_w + s*dilation_w,  g(o) = o / (O/groups)
//
// Thread -> output: number m*O + o, channels fastest. Neighbours then write neighbouring words of y, and share one
//   window: a warp asks for one word of x, which is broadcast. The weights are what suffers: neighbouring filters lie
//   K apart, so a warp's load touches 32 cache lines; the next 31 channels find them in L1, if they are still there.
//   (Positions fastest would broadcast the weights and scatter both x and y.) Where groups = C, neighbours read
//   neighbouring channels of x, and this is not far from the best there is.
// Grid: M*O / 256, rounded up.  Block: 256.  Shared: none.
//
// In tf32 it multiplies whole float32 numbers: more exact than was asked for.
//
// Still wasted: two loads for each multiply-add. Every input is fetched O*KH*KW times, every weight N*OH*OW times:
//   gemm.cu shares them between the threads of a block.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: FFMA
#include "../common/epilogue.cuh"
#include "window.cuh"

extern "C" __global__ void __launch_bounds__(256)
conv2d_direct(const Stored* __restrict__ x, const Stored* __restrict__ weight, const float* bias,
              const Stored* residual, Stored* y, Conv conv) {
  const size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x;  // of the output, in y
  if (offset >= (size_t)conv.N * conv.OH * conv.OW * conv.O) return;
  const int o = offset % conv.O, channels = conv.C / conv.groups, group = o / (conv.O / conv.groups);
  const Corner corner = corner_of(offset / conv.O, conv);

  float sum = 0.f;
  for (int r = 0; r < conv.KH; r++) {
    for (int s = 0; s < conv.KW; s++) {
      const int h = corner.h + r * conv.dilation_h, w = corner.w + s * conv.dilation_w;
      if (!inside(h, w, conv)) continue;
      const Stored* pixel = x + (((size_t)corner.n * conv.H + h) * conv.W + w) * conv.C + group * channels;
      const Stored* filter = weight + (((size_t)o * conv.KH + r) * conv.KW + s) * channels;
      for (int c = 0; c < channels; c++) sum += to_float(filter[c]) * to_float(pixel[c]);
    }
  }
  finish(sum, o, offset, bias, residual, y, conv.activation);
}
KERNEL(conv2d_direct)
