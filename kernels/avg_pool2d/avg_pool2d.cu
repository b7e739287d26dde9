// Average pool, NHWC: the float32 sum under each window, then one division.
//
//   y[n,i,j,c] = (sum over r,s of x[n, i*stride_h - padding_h + r, j*stride_w - padding_w + s, c]) / (rows * columns)
//
// rows, columns: how much of the window lies in the image (include_padding 0), or in the padded image (1). Positions
// that only rounding OH and OW up adds, beyond the far padding, are never counted.
//
// Thread -> one output position, VECTOR channels (16 bytes) of it, or one channel in the scalar form.
// Grid (N*OH, ceil(OW * C/width / 128)), block 128, no shared memory. Bound by memory; overlapping windows read a pixel
// again from the caches.
//
// Architectures: sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16
// Expects: FLOAT16 all: LDG.E.128 STG.E.128
#include "../common/intrinsics.cuh"
#include "../common/pool.cuh"
#include "../common/values.cuh"

// The part start..stop-1 of a window along one axis that lies in the image.
struct Span {
  int start, stop, counted;

  __device__ __forceinline__ Span(int first, int window, int size, int padding, int include_padding) {
    int border = include_padding ? padding : 0;
    start = max(first, 0);
    stop = min(first + window, size);
    counted = min(first + window, size + border) - max(first, -border);
  }
};

template <int width>
__device__ __forceinline__ void avg_pool2d(const Stored* __restrict__ x, Stored* __restrict__ y, const Pool& pool) {
  PoolOutput out(pool, width);
  if (!out.inside) return;
  Span rows(out.i * pool.stride_h - pool.padding_h, pool.KH, pool.H, pool.padding_h, pool.include_padding);
  Span columns(out.j * pool.stride_w - pool.padding_w, pool.KW, pool.W, pool.padding_w, pool.include_padding);
  float sum[width] = {};
  for (int h = rows.start; h < rows.stop; h++)
#pragma unroll 2
    for (int w = columns.start; w < columns.stop; w++) {
      Values<width> values = load_values<width>(x + pool_input(pool, out.n, h, w, out.c));
#pragma unroll
      for (int k = 0; k < width; k++) sum[k] += to_float(values.item[k]);
    }
  float count = (float)(rows.counted * columns.counted);
#pragma unroll
  for (int k = 0; k < width; k++) sum[k] = sum[k] / count;
  store_values<width>(y + out.offset(pool), sum);
}

// 8 blocks a multiprocessor leave a thread 64 registers. Left to itself, ptxas saves them until it spills.
#define AVG_POOL2D(name, width)                                                                      \
  extern "C" __global__ void __launch_bounds__(128, 8) name(const Stored* x, Stored* y, Pool pool) { \
    avg_pool2d<width>(x, y, pool);                                                                   \
  }                                                                                                  \
  KERNEL(name)

AVG_POOL2D(avg_pool2d_vector, VECTOR)
AVG_POOL2D(avg_pool2d_scalar, 1)
