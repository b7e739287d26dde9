// The im2col matrix, one number at a time:
//
//   window[m, k] = x[n, i*stride_h - padding_h + r*dilation_h, j*stride_w - padding_w + s*dilation_w, g*C/groups + c]
//   m = (n*OH + i)*OW + j,  k = (r*KW + s)*C/groups + c; 0 outside the image
//
// Row m holds all that output position m depends on, in the order in which a filter (KH, KW, C/groups) lies in memory.
#pragma once
#include "../common/conv.cuh"
#include "../common/elements.cuh"

// Where the window of an output position begins, in image n; h and w may lie in the padding.
struct Corner {
  int n, h, w;
};

__device__ __forceinline__ Corner corner_of(int m, const Conv& conv) {
  const int n = m / (conv.OH * conv.OW), i = m / conv.OW % conv.OH, j = m % conv.OW;
  return {n, i * conv.stride_h - conv.padding_h, j * conv.stride_w - conv.padding_w};
}

__device__ __forceinline__ bool inside(int h, int w, const Conv& conv) {
  return h >= 0 && h < conv.H && w >= 0 && w < conv.W;
}

// window[m, k] of a group, for the corner of m. Costs three divisions.
__device__ __forceinline__ Stored window_at(const Stored* x, const Conv& conv, const Corner& corner, int group, int k) {
  const int channels = conv.C / conv.groups, tap = k / channels, c = k % channels;
  const int r = tap / conv.KW, s = tap % conv.KW;
  const int h = corner.h + r * conv.dilation_h, w = corner.w + s * conv.dilation_w;
  if (!inside(h, w, conv)) return 0;
  return x[(((size_t)corner.n * conv.H + h) * conv.W + w) * conv.C + group * channels + c];
}
