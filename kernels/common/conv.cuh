// The numbers of one convolution, and the way from an output's position to the inputs that it reads.
//
//   y[n,i,j,o] = relu(bias[o] + residual[n,i,j,o] + sum over r,s,c of
//                     weight[o,r,s,c] * x[n, i*stride_h - padding_h + r*dilation_h, j*stride_w - padding_w + s*dilation_w, g(o)*C/groups + c])
//
// x (N, H, W, C) and y (N, OH, OW, O) are NHWC, weight (O, KH, KW, C/groups) is KRSC; outside the image x is 0.
// As a matrix product: M = N*OH*OW rows (outputs' positions), K = KH*KW*C/groups, and O columns.
// npresnet/cuda/geometry.py packs the same fields in the same order.
#pragma once

struct Conv {
  int N, H, W, C;
  int O, KH, KW;
  int OH, OW;
  int stride_h, stride_w;
  int padding_h, padding_w;
  int dilation_h, dilation_w;
  int groups;
  int activation;  // NONE or RELU, see activation.cuh
};
