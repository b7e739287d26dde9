// Max pool, NHWC: the largest value under each window; outside the image lies -infinity, and NaN wins.
//
//   y[n,i,j,c] = max over r,s of x[n, i*stride_h - padding_h + r*dilation_h, j*stride_w - padding_w + s*dilation_w, c]
//
// Thread -> one output position, VECTOR channels (16 bytes) of it, or one channel in the scalar form.
// Grid (N*OH, ceil(OW * C/width / 128)), block 128, no shared memory. The two grid axes keep every index below 2^31.
// The 3x3 form of every ResNet has its loops unrolled: nine loads in flight hide the memory's latency.
//
// Bound by memory: x is read once from DRAM, and KH*KW/stride^2 times from the caches. Fused into the stem
// (stem/mma_pool.cu, stem/wgmma_pool.cu), the pool does not read x from DRAM at all.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/pool.cuh"
#include "../common/values.cuh"

// The window is window_h x window_w where those are not 0, else KH x KW.
template <int width, int window_h, int window_w>
__device__ __forceinline__ void max_pool2d(const Stored* __restrict__ x, Stored* __restrict__ y, const Pool& pool) {
  PoolOutput out(pool, width);
  if (!out.inside) return;
  float best[width];
#pragma unroll
  for (int k = 0; k < width; k++) best[k] = __uint_as_float(0xFF800000u);  // -infinity: 0 would beat what is negative
  int top = out.i * pool.stride_h - pool.padding_h, left = out.j * pool.stride_w - pool.padding_w;
#pragma unroll
  for (int r = 0; r < (window_h ? window_h : pool.KH); r++)
#pragma unroll
    for (int s = 0; s < (window_w ? window_w : pool.KW); s++) {
      int h = top + r * pool.dilation_h, w = left + s * pool.dilation_w;
      if ((unsigned)h < (unsigned)pool.H && (unsigned)w < (unsigned)pool.W)
        take_larger<width>(best, x + pool_input(pool, out.n, h, w, out.c));
    }
  store_values<width>(y + out.offset(pool), best);
}

#define MAX_POOL2D(name, width, window_h, window_w)                                               \
  extern "C" __global__ void __launch_bounds__(128) name(const Stored* x, Stored* y, Pool pool) { \
    max_pool2d<width, window_h, window_w>(x, y, pool);                                            \
  }                                                                                               \
  KERNEL(name)

MAX_POOL2D(max_pool2d_vector_3x3, VECTOR, 3, 3)
MAX_POOL2D(max_pool2d_vector, VECTOR, 0, 0)
MAX_POOL2D(max_pool2d_scalar, 1, 0, 0)
