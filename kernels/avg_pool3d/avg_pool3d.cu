// Average pool over clips: the float32 sum under each window, then one division.
//
//   y[n,t,i,j,c] = (sum over k,r,s of x[n, t*stride_t - padding_t + k, i*stride_h - padding_h + r,
//                                       j*stride_w - padding_w + s, c]) / (frames * rows * columns)
//
// frames, rows, columns: how much of the window lies in the clip (include_padding 0), or in the padded clip (1).
// Positions that only rounding the output's size up adds, beyond the far padding, are never counted.
//
// Thread -> one output, channels fastest.  Grid: N*OT*OH*OW*C / 256, rounded up.  Block: 256.  Bound by memory.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
#include "../common/clip.cuh"
#include "../common/intrinsics.cuh"
#include "../common/values.cuh"

// How much of a window of `size` positions from `first` on is counted along an axis of `length` positions.
__device__ __forceinline__ int clip_counted(int first, int size, int length, int padding, int include_padding) {
  const int border = include_padding ? padding : 0;
  return min(first + size, length + border) - max(first, -border);
}

extern "C" __global__ void __launch_bounds__(256, 4) avg_pool3d(const Stored* __restrict__ x, Stored* y, Clip clip) {
  const size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (offset >= clip_outputs(clip)) return;
  const ClipOutput out(offset, clip);
  float sum[1] = {0.f};
  for (int t = max(out.t, 0); t < min(out.t + clip.KT, clip.T); t++)
    for (int h = max(out.h, 0); h < min(out.h + clip.KH, clip.H); h++)
      for (int w = max(out.w, 0); w < min(out.w + clip.KW, clip.W); w++)
        sum[0] += to_float(x[clip_pixel(out.n, t, h, w, clip) + out.o]);
  const int frames = clip_counted(out.t, clip.KT, clip.T, clip.padding_t, clip.include_padding);
  const int rows = clip_counted(out.h, clip.KH, clip.H, clip.padding_h, clip.include_padding);
  const int columns = clip_counted(out.w, clip.KW, clip.W, clip.padding_w, clip.include_padding);
  sum[0] = sum[0] / (float)(frames * rows * columns);
  store_values<1>(y + offset, sum);
}
KERNEL(avg_pool3d)
