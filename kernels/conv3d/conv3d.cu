// Convolution over clips as its definition says it: one thread, one output.
//
//   y[n,t,i,j,o] = relu(bias[o] + residual[n,t,i,j,o] + sum over k,r,s,c of
//                       weight[o,k,r,s,c] * x[n, t*stride_t - padding_t + k*dilation_t, h, w, g(o)*C/groups + c]),
//   h = i*stride_h - padding_h + r*dilation_h,  w = j*stride_w - padding_w + s*dilation_w,  g(o) = o / (O/groups)
//
// Thread -> output, channels fastest: as in conv2d/direct.cu, whose header says what that costs.
// Grid: N*OT*OH*OW*O / 256, rounded up.  Block: 256.  Shared: none.
//
// Still wasted: two loads for each multiply-add. Every input is fetched O*KT*KH*KW times; a product on tensor cores
//   with the K of all frames would share them.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: FFMA
#include "../common/clip.cuh"
#include "../common/epilogue.cuh"

extern "C" __global__ void __launch_bounds__(256, 4)
conv3d(const Stored* __restrict__ x, const Stored* __restrict__ weight, const float* bias, const Stored* residual,
       Stored* y, Clip clip) {
  const size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x;  // of the output, in y
  if (offset >= clip_outputs(clip)) return;
  const ClipOutput out(offset, clip);
  const int channels = clip.C / clip.groups, group = out.o / (clip.O / clip.groups);
  const Stored* filter = weight + (size_t)out.o * clip.KT * clip.KH * clip.KW * channels;

  float sum = 0.f;
  for (int k = 0; k < clip.KT; k++) {
    for (int r = 0; r < clip.KH; r++) {
      for (int s = 0; s < clip.KW; s++, filter += channels) {
        const int t = out.t + k * clip.dilation_t, h = out.h + r * clip.dilation_h, w = out.w + s * clip.dilation_w;
        if (!clip_inside(t, h, w, clip)) continue;
        const Stored* pixel = x + clip_pixel(out.n, t, h, w, clip) + group * channels;
        for (int c = 0; c < channels; c++) sum += to_float(filter[c]) * to_float(pixel[c]);
      }
    }
  }
  finish(sum, out.o, offset, bias, residual, y, clip.activation);
}
KERNEL(conv3d)
