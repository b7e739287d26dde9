// Activations: functions of one number, computed in float32. Codes and struct are those of npresnet/cuda/activation.py.
//
// A code is an argument of the launch and the same for all threads, so that the branches below do not diverge. Kernels
// that are bound by memory take any code. The epilogues of convolutions, which are short of registers, take only NONE
// and RELU; another activation runs in place after them (activation/activation.cu).
#pragma once

constexpr int NONE = 0;
constexpr int RELU = 1;
constexpr int RELU6 = 2;
constexpr int LEAKY_RELU = 3;
constexpr int HARD_SIGMOID = 4;
constexpr int HARD_SWISH = 5;
constexpr int SILU = 6;
constexpr int GELU = 7;
constexpr int SIGMOID = 8;
constexpr int GELU_TANH = 9;
constexpr int QUICK_GELU = 10;
constexpr int TANH = 11;
constexpr int ELU = 12;
constexpr int CELU = 13;
constexpr int SELU = 14;
constexpr int MISH = 15;
constexpr int HARD_MISH = 16;

struct Activation {
  int code;
  float parameter;  // negative_slope of LEAKY_RELU, alpha of ELU and CELU
};

// max(value, 0). A comparison with NaN is false, so NaN stays NaN, as it does on the CPU.
__device__ __forceinline__ float relu_of(float value) { return value < 0.f ? 0.f : value; }

// min(max(value, 0), 6); NaN stays NaN.
__device__ __forceinline__ float relu6_of(float value) { return value < 0.f ? 0.f : value > 6.f ? 6.f : value; }

// What convolutions end with: `code` is NONE or RELU.
__device__ __forceinline__ float none_or_relu(float value, int code) { return code ? relu_of(value) : value; }

// All but the usual ones, out of line: eight copies of each in every kernel would take longer to compile than all the
// rest. tanh(log(1 + e)) = n / (n + 2) with n = e * (e + 2), e = exp(x); beyond 30 it is 1, and NaN times it is NaN.
__device__ __noinline__ float activate_at_length(float x, int code, float parameter) {
  float e = expf(fminf(x, 30.f)), n = e * (e + 2.f);
  switch (code) {
    case HARD_SIGMOID: return relu6_of(x + 3.f) / 6.f;
    case HARD_SWISH: return x * relu6_of(x + 3.f) / 6.f;
    // x/2 * (1 + erf(x / sqrt(2))); erfc keeps the digits that 1 + erf loses where x is negative
    case GELU: return 0.5f * x * erfcf(x * -0.70710678118654752f);
    case SIGMOID: return 1.f / (1.f + expf(-x));
    // x/2 * (1 + tanh(u)) = x / (1 + exp(-2u))
    case GELU_TANH: return x / (1.f + expf(-1.5957691216057308f * (x + 0.044715f * x * x * x)));
    case QUICK_GELU: return x / (1.f + expf(-1.702f * x));
    case TANH: return tanhf(x);
    case ELU: return x > 0.f ? x : parameter * expm1f(x);
    case CELU: return x > 0.f ? x : parameter * expm1f(x / parameter);
    case SELU: return x > 0.f ? 1.0507009873554805f * x : 1.7580993408473766f * expm1f(x);
    case MISH: return x * (n / (n + 2.f));
    case HARD_MISH: return 0.5f * x * (x < -2.f ? 0.f : x > 0.f ? 2.f : x + 2.f);
    default: return x;
  }
}

// npresnet/ops/activations.py specifies each.
__device__ __forceinline__ float activate(float x, const Activation& activation) {
  switch (activation.code) {
    case NONE: return x;
    case RELU: return relu_of(x);
    case RELU6: return relu6_of(x);
    case LEAKY_RELU: return x < 0.f ? x * activation.parameter : x;
    case SILU: return x / (1.f + expf(-x));
    default: return activate_at_length(x, activation.code, activation.parameter);
  }
}
