// Softmax and the k best classes of each image.
//
//   probabilities[n,c] = exp(logits[n,c] - max) / sum over j of exp(logits[n,j] - max)
//   best[n,0..k-1] = the classes of the largest logits, best first; of equals the lower index, NaN after everything
//
// logits and probabilities (N, classes) float32, best (N, k) int32. One NaN or +infinity makes all probabilities of its
// image NaN, as on the CPU.
//
// Exponentials and their sum are float64, rounded to float32 once, as the CPU has them: a probability is the same on
// both, but for the order of the sum. A thousand classes are too few for a GPU's slow float64 to matter.
//
// Block -> one image; thread t takes the classes t, t + 256, ... A reduction is a tree of shuffles in each warp, then
// the warps' values in ascending order: always the same. For the ranking a class becomes one 64-bit number, its logit's
// bits made to count upwards above its index turned round: one comparison then decides, and there are no ties. Each of
// the k rounds finds the largest number below the last one.
// Grid N, block 256, shared 160 bytes.
//
// It wastes: k + 2 passes over the logits, which the L1 cache holds; a classifier has a thousand.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: none
// Expects: all all: SHFL.BFLY
#include "../common/intrinsics.cuh"

constexpr int THREADS = 256, WARPS = THREADS / 32;
typedef unsigned long long Rank;

struct Sum {
  __device__ __forceinline__ double operator()(double a, double b) const { return a + b; }
};
struct LargestOrNaN {
  __device__ __forceinline__ float operator()(float a, float b) const { return b > a || b != b ? b : a; }
};
struct LargestRank {
  __device__ __forceinline__ Rank operator()(Rank a, Rank b) const { return a > b ? a : b; }
};

// Every thread's value joined into one, which every thread gets. `shared` holds one value a warp.
template <class T, class Join>
__device__ __forceinline__ T join_block(T value, T* shared, Join join) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) value = join(value, shuffle_xor(value, lanes));
  __syncthreads();  // `shared` may still be read from the last call
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[0];
#pragma unroll
  for (int warp = 1; warp < WARPS; warp++) value = join(value, shared[warp]);
  return value;
}

// Ascending floats give ascending numbers: a negative float's bits count downwards, so all are flipped. 0 is NaN's.
__device__ __forceinline__ Rank rank_of(float logit, int index) {
  unsigned bits = __float_as_uint(logit + 0.f);  // -0 + 0 is 0: the two zeros tie
  unsigned ordered = bits >> 31 ? ~bits : bits | 0x80000000u;
  if (logit != logit) ordered = 0;
  return (Rank)ordered << 32 | ~(unsigned)index;
}

__device__ __forceinline__ void softmax(const float* logits, float* probabilities, int classes, float* shared,
                                        double* shared_sums) {
  float largest = __uint_as_float(0xFF800000u);  // -infinity
  double sum = 0.;
  for (int c = threadIdx.x; c < classes; c += THREADS) largest = LargestOrNaN()(largest, logits[c]);
  largest = join_block(largest, shared, LargestOrNaN());
  for (int c = threadIdx.x; c < classes; c += THREADS) sum += exp((double)logits[c] - largest);
  sum = join_block(sum, shared_sums, Sum());
  for (int c = threadIdx.x; c < classes; c += THREADS)
    probabilities[c] = (float)(exp((double)logits[c] - largest) / sum);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    softmax_top_k(const float* __restrict__ logits, float* __restrict__ probabilities, int* __restrict__ best,
                  int classes, int k) {
  __shared__ float floats[WARPS];
  __shared__ double sums[WARPS];
  __shared__ Rank ranks[WARPS];
  logits += (size_t)blockIdx.x * classes;
  softmax(logits, probabilities + (size_t)blockIdx.x * classes, classes, floats, sums);

  Rank last = ~(Rank)0;
  for (int place = 0; place < k; place++) {
    Rank next = 0;
    for (int c = threadIdx.x; c < classes; c += THREADS) {
      Rank rank = rank_of(logits[c], c);
      if (rank < last && rank > next) next = rank;
    }
    last = join_block(next, ranks, LargestRank());
    if (threadIdx.x == 0) best[(size_t)blockIdx.x * k + place] = (int)~(unsigned)last;
  }
}
KERNEL(softmax_top_k)
