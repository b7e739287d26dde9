// The numbers of one convolution or pool over clips, and which output a thread computes.
//
// A clip is stored as (T, H, W, C): an image of T*H rows for what has no window. A thread has one number of the output,
// y[n,t,i,j,o], and walks over the taps k, r, s of its window. npresnet/cuda/clips.py packs the same fields.
#pragma once

struct Clip {
  int N, T, H, W, C;
  int O, KT, KH, KW;
  int OT, OH, OW;
  int stride_t, stride_h, stride_w;
  int padding_t, padding_h, padding_w;
  int dilation_t, dilation_h, dilation_w;
  int groups;           // conv3d
  int activation;       // conv3d: NONE or RELU, see activation.cuh
  int include_padding;  // avg_pool3d: 1 counts the positions in the padding, too
};

// Output number `offset`, channels fastest; t, h and w are where its window begins, which may lie in the padding.
struct ClipOutput {
  int n, t, h, w, o;

  __device__ __forceinline__ ClipOutput(size_t offset, const Clip& clip) {
    o = offset % clip.O;
    offset /= clip.O;
    w = (int)(offset % clip.OW) * clip.stride_w - clip.padding_w;
    offset /= clip.OW;
    h = (int)(offset % clip.OH) * clip.stride_h - clip.padding_h;
    offset /= clip.OH;
    t = (int)(offset % clip.OT) * clip.stride_t - clip.padding_t;
    n = offset / clip.OT;
  }
};

__device__ __forceinline__ size_t clip_outputs(const Clip& clip) {
  return (size_t)clip.N * clip.OT * clip.OH * clip.OW * clip.O;
}

__device__ __forceinline__ bool clip_inside(int t, int h, int w, const Clip& clip) {
  return t >= 0 && t < clip.T && h >= 0 && h < clip.H && w >= 0 && w < clip.W;
}

// Where x[n, t, h, w, 0] lies.
__device__ __forceinline__ size_t clip_pixel(int n, int t, int h, int w, const Clip& clip) {
  return ((((size_t)n * clip.T + t) * clip.H + h) * clip.W + w) * clip.C;
}
