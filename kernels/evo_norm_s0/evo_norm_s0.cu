// EvoNorm-S0, NHWC: a swish with a learned slope, divided by the deviation of the group's numbers in this image.
//
//   y[n,p,c] = x * sigmoid(v[c] * x) / sqrt(var[n,g] + eps) * weight[c] + bias[c]        x = x[n,p,c]
//
// Block (group, image), three passes: see group_norm.cu, whose waste it shares.
// Grid (G, N), block 256, shared 1 KiB.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/group.cuh"

template <int width>
__device__ __forceinline__ void evo_norm_s0(const Stored* __restrict__ x, const float* __restrict__ v,
                                            const float* __restrict__ weight, const float* __restrict__ bias,
                                            Stored* __restrict__ y, const Group& group, float eps) {
  int first = blockIdx.x * group.channels;
  size_t start = (size_t)blockIdx.y * group.positions * group.C + first;
  float count = (float)group.numbers();
  float mean = group_sum<width>(x + start, group, Itself()) / count;
  float variance = group_sum<width>(x + start, group, SquaredDistance{mean}) / count;
  float inverse = 1.f / sqrtf(variance + eps);
#pragma unroll 1
  for (int i = threadIdx.x; i < group.numbers() / width; i += GROUP_THREADS) {
    size_t at = start + group.offset<width>(i);
    int c = first + group.channel<width>(i);
    Values<width> values = load_values<width>(x + at);
    float result[width];
#pragma unroll
    for (int k = 0; k < width; k++) {
      float value = to_float(values.item[k]);
      float swish = value / (1.f + expf(-v[c + k] * value));
      result[k] = swish * inverse * weight[c + k] + bias[c + k];
    }
    store_values<width>(y + at, result);
  }
}

#define EVO_NORM_S0(name, width)                                                                              \
  extern "C" __global__ void __launch_bounds__(GROUP_THREADS)                                                 \
      name(const Stored* x, const float* v, const float* weight, const float* bias, Stored* y, int positions, \
           int C, int channels, float eps) {                                                                  \
    evo_norm_s0<width>(x, v, weight, bias, y, Group{positions, C, channels}, eps);                            \
  }                                                                                                           \
  KERNEL(name)

EVO_NORM_S0(evo_norm_s0_vector, VECTOR)
EVO_NORM_S0(evo_norm_s0_scalar, 1)
