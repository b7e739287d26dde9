// What blocks of one launch leave for each other in global memory, and the ticket that tells who comes last.
//
//   each thread: leave(to, value) ...;  __syncthreads();  one thread: draw_ticket;  __syncthreads();  find(from) ...
//
// The ticket is drawn with acquire and release in one: what the block has left before the barrier is seen by whoever
// draws a later ticket, after the barrier by all of his block (PTX's memory model: causality goes through barriers).
// So no fence can be forgotten. The tests' emulator shows what was left only to blocks that have drawn.
#pragma once
#ifndef NPRESNET_EMULATOR

// For another block of this launch.
template <class T> __device__ __forceinline__ void leave(T* to, T value) { *to = value; }

// What another block has left. Nothing that is promised to be constant: such loads need not see it.
template <class T> __device__ __forceinline__ T find(const T* from) { return *from; }

// 0, 1, ... tickets - 1 and from 0 again: `counter`, zero before the first launch, is zero when all are drawn.
__device__ __forceinline__ unsigned draw_ticket(unsigned* counter, unsigned tickets) {
  unsigned ticket;
  asm volatile("atom.acq_rel.gpu.inc.u32 %0, [%1], %2;" : "=r"(ticket) : "l"(counter), "r"(tickets - 1) : "memory");
  return ticket;
}

#endif
