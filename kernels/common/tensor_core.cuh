// One step of the tensor cores, whatever the element: 16 rows x 32 bytes of A times 32 bytes x 8 columns of B.
//
//   ELEMENT             32 bytes hold   instruction
//   FLOAT16, BFLOAT16   16 numbers      mma.m16n8k16
//   TF32                8 numbers       mma.m16n8k8
//
// ldmatrix moves 16-byte rows and does not care what is in them, so that the three share every address computation.
#pragma once
#include "elements.cuh"

__device__ __forceinline__ void multiply(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if ELEMENT == FLOAT16
  mma_float16(sums, a, b0, b1);
#elif ELEMENT == BFLOAT16
  mma_bfloat16(sums, a, b0, b1);
#else
  mma_tf32(sums, a, b0, b1);
#endif
}

// Activations in TF32 are full float32 numbers, of which the hardware would cut off 13 bits: rounding them to the
// nearest halves the error. Weights were rounded on the host.
__device__ __forceinline__ void round_activations(unsigned (&a)[4]) {
#if ELEMENT == TF32
#pragma unroll
  for (int i = 0; i < 4; i++) a[i] = float_to_tf32(__uint_as_float(a[i]));
#endif
}
