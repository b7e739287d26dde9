// What a decoded picture's bytes become: the preprocess kernel's arithmetic, and that of kernels which read pixels.
#pragma once

// npresnet/cuda/launchers/preprocess.py packs the same fields.
struct Normalisation {
  float mean[4], std[4];
  int channels;  // 1 to 4
};

// Each of the three steps rounds to float32: divisions are true ones, and no product is there to be fused with the
// difference.
__device__ __forceinline__ float normalised(unsigned char value, const Normalisation& how, int c) {
  return (value / 255.f - how.mean[c]) / how.std[c];
}
