// The attention pool of CLIP's ResNets, with one query, in an order that never computes keys and values of all tokens:
//
//   tokens[0] = mean over p of x[p] + position[0]        tokens[1 + p] = x[p] + position[1 + p]        T = 1 + P tokens
//   q         = Wq tokens[0] + bq                        Wq and bq over sqrt(D); E numbers, heads of D
//   keys[h]   = transpose(Wk[h]) q[h]                    C numbers: q[h] . (Wk[h] t) = keys[h] . t; bk changes no softmax
//   a[h]      = softmax over t of keys[h] . tokens[t]
//   sums[h]   = sum over t of a[h,t] * tokens[t]
//   pooled[h] = Wv[h] sums[h] + bv[h]                    as the a[h,t] sum to 1
//   y         = activation(Wproj pooled + bproj)
//
// Weights as stored, everything between x and y float32. Four kernels; attention_rows runs for q, pooled and y:
//
//   attention_tokens  thread -> a channel of an image.                 Grid (ceil(C/256), N), block 256
//   attention_rows    warp -> an output, as in linear/warp.cu.          Grid (ceil(O/4), N), block (32, 4)
//   attention_keys    thread -> a channel of a head of an image.       Grid (ceil(C/256), heads, N), block 256
//   attention_sums    block -> a head of an image: warps take tokens for the logits, threads channels for the sums.
//                     Grid (heads, N), block 256, dynamic shared T floats
//
// Bound by reading the weights once an image: from L2 after the first. Large batches would want matrix products.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: all all: SHFL.BFLY MUFU.EX2
#include "../common/intrinsics.cuh"
#include "../common/activation.cuh"
#include "../common/elements.cuh"

constexpr int THREADS = 256, ROW_WARPS = 4;

__device__ __forceinline__ float sum_of_warp(float sum) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += shuffle_xor(sum, lanes);
  return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    attention_tokens(const Stored* __restrict__ x, const float* __restrict__ position, float* __restrict__ tokens,
                     int positions, int C) {
  int c = blockIdx.x * THREADS + threadIdx.x;
  if (c >= C) return;
  const Stored* image = x + (size_t)blockIdx.y * positions * C;
  float* row = tokens + (size_t)blockIdx.y * (positions + 1) * C;
  float sum = 0.f;
  for (int p = 0; p < positions; p++) {
    float value = to_float(image[(size_t)p * C + c]);
    sum += value;
    row[(size_t)(p + 1) * C + c] = value + position[(size_t)(p + 1) * C + c];
  }
  row[c] = sum / (float)positions + position[c];
}
KERNEL(attention_tokens)

// npresnet/cuda/launchers/attention_pool2d.py packs the same fields.
struct Rows {
  int C, O;          // weight is (O, C)
  int image_stride;  // between images of x, in numbers
  int rows_of_head;  // outputs that read the same C numbers; the next ones read the C numbers behind them
};

// out[n,o] = bias[o] + sum over c of weight[o,c] * x[n, o / rows_of_head, c]; to `out`, or rounded and activated to `y`
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    attention_rows(const float* __restrict__ x, const Stored* __restrict__ weight, const float* __restrict__ bias,
                   float* __restrict__ out, Stored* __restrict__ y, Rows rows, Activation activation) {
  int n = blockIdx.y, o = blockIdx.x * ROW_WARPS + threadIdx.y;
  if (o >= rows.O) return;  // the whole warp, so the shuffles below are complete
  const float* from = x + (size_t)n * rows.image_stride + (size_t)(o / rows.rows_of_head) * rows.C;
  const Stored* row = weight + (size_t)o * rows.C;
  float sum = 0.f;
#pragma unroll 4
  for (int c = threadIdx.x; c < rows.C; c += 32) sum += to_float(row[c]) * from[c];
  sum = sum_of_warp(sum);
  if (threadIdx.x > 0) return;
  sum += bias[o];
  if (y) {
    y[(size_t)n * rows.O + o] = from_float(activate(sum, activation));
  } else {
    out[(size_t)n * rows.O + o] = sum;
  }
}
KERNEL(attention_rows)

extern "C" __global__ void __launch_bounds__(THREADS)
    attention_keys(const float* __restrict__ q, const Stored* __restrict__ weight, float* __restrict__ keys, int C,
                   int D) {
  int c = blockIdx.x * THREADS + threadIdx.x, head = blockIdx.y, heads = gridDim.y, n = blockIdx.z;
  if (c >= C) return;
  const float* numbers = q + ((size_t)n * heads + head) * D;
  const Stored* column = weight + (size_t)head * D * C + c;
  float sum = 0.f;
#pragma unroll 4
  for (int d = 0; d < D; d++) sum += numbers[d] * to_float(column[(size_t)d * C]);
  keys[((size_t)n * heads + head) * C + c] = sum;
}
KERNEL(attention_keys)

// exp(logits - max) in the place of the logits; returns their sum. Every thread computes both: T is a hundred or two.
__device__ __forceinline__ float exponentials(float* logits, int T) {
  float largest = __uint_as_float(0xFF800000u), sum = 0.f;  // -infinity
  for (int t = 0; t < T; t++) largest = larger_or_nan(largest, logits[t]);
  __syncthreads();  // all have read the logits
  for (int t = threadIdx.x; t < T; t += THREADS) logits[t] = expf(logits[t] - largest);
  __syncthreads();  // all have written
  for (int t = 0; t < T; t++) sum += logits[t];
  return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    attention_sums(const float* __restrict__ keys, const float* __restrict__ tokens, float* __restrict__ sums, int T,
                   int C) {
  SHARED_MEMORY(float, logits);
  size_t head = (size_t)blockIdx.y * gridDim.x + blockIdx.x;  // of all images
  const float *key = keys + head * C, *image = tokens + (size_t)blockIdx.y * T * C;
  for (int t = threadIdx.x / 32; t < T; t += THREADS / 32) {
    float sum = 0.f;
    for (int c = threadIdx.x % 32; c < C; c += 32) sum += key[c] * image[(size_t)t * C + c];
    sum = sum_of_warp(sum);
    if (threadIdx.x % 32 == 0) logits[t] = sum;
  }
  __syncthreads();  // all logits are there
  float total = exponentials(logits, T);
  for (int c = threadIdx.x; c < C; c += THREADS) {
    float sum = 0.f;
    for (int t = 0; t < T; t++) sum += logits[t] * image[(size_t)t * C + c];
    sums[head * C + c] = sum / total;
  }
}
KERNEL(attention_sums)
