// Max pool over clips: the largest value under each window; outside the clip lies -infinity, and NaN wins.
//
//   y[n,t,i,j,c] = max over k,r,s of x[n, t*stride_t - padding_t + k*dilation_t, i*stride_h - padding_h + r*dilation_h,
//                                      j*stride_w - padding_w + s*dilation_w, c]
//
// Thread -> one output, channels fastest: neighbours read and write neighbouring numbers.
// Grid: N*OT*OH*OW*C / 256, rounded up.  Block: 256.  Shared: none. Bound by memory.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
#include "../common/clip.cuh"
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"

extern "C" __global__ void __launch_bounds__(256, 4) max_pool3d(const Stored* __restrict__ x, Stored* y, Clip clip) {
  const size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (offset >= clip_outputs(clip)) return;
  const ClipOutput out(offset, clip);
  float best[1] = {__uint_as_float(0xFF800000u)};  // -infinity: 0 would beat what is negative
  for (int k = 0; k < clip.KT; k++) {
    for (int r = 0; r < clip.KH; r++) {
      for (int s = 0; s < clip.KW; s++) {
        const int t = out.t + k * clip.dilation_t, h = out.h + r * clip.dilation_h, w = out.w + s * clip.dilation_w;
        if (clip_inside(t, h, w, clip)) take_larger<1>(best, x + clip_pixel(out.n, t, h, w, clip) + out.o);
      }
    }
  }
  store_values<1>(y + offset, best);
}
KERNEL(max_pool3d)
