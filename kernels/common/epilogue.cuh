// The epilogue of every convolution:  y = cast(relu(sum + bias[o] + residual)).
//
// Fused into the kernel that has the sum, so that it costs no pass over y of its own: an output is written once, and
// the residual read once. `residual` may be null, and may be the memory of y: a thread reads an output's residual
// first. `activation` is NONE or RELU, see activation.cuh.
// epilogue_tile.cuh is the same for sums that tensor cores left spread over a warp.
#pragma once
#include "activation.cuh"
#include "elements.cuh"

// One output: channel o, at `offset` in y and in residual.
__device__ __forceinline__ void finish(float sum, int o, size_t offset, const float* bias, const Stored* residual,
                                       Stored* y, int activation) {
  float value = sum + bias[o];
  if (residual) value += to_float(residual[offset]);
  y[offset] = from_float(none_or_relu(value, activation));
}

// Four neighbouring channels, as they are stored: 16 bytes of float, 8 of half.
#if ELEMENT == FLOAT16 || ELEMENT == BFLOAT16
typedef ushort4 Four;
#else
typedef float4 Four;
#endif

// Four outputs: channels o .. o + 3, where o and offset are multiples of 4.
__device__ __forceinline__ void finish(float4 sums, int o, size_t offset, const float* bias, const Stored* residual,
                                       Stored* y, int activation) {
  const float4 b = *reinterpret_cast<const float4*>(bias + o);
  float4 v = make_float4(sums.x + b.x, sums.y + b.y, sums.z + b.z, sums.w + b.w);
  if (residual) {
    const Four add = *reinterpret_cast<const Four*>(residual + offset);
    v = make_float4(v.x + to_float(add.x), v.y + to_float(add.y), v.z + to_float(add.z), v.w + to_float(add.w));
  }
  if (activation) v = make_float4(relu_of(v.x), relu_of(v.y), relu_of(v.z), relu_of(v.w));
  *reinterpret_cast<Four*>(y + offset) = {from_float(v.x), from_float(v.y), from_float(v.z), from_float(v.w)};
}

// The same as a function of where the output lies: position m, channel o, and one sum or four neighbouring ones.
struct ToOutput {
  const float* bias;
  const Stored* residual;
  Stored* y;
  int O, activation;

  template <class T> __device__ __forceinline__ void operator()(int m, int o, T sum) const {
    finish(sum, o, (size_t)m * O + o, bias, residual, y, activation);
  }
};
