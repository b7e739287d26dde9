// Runs CUDA source text on the CPU: g++ -std=c++17 -include emulator.h -x c++ kernel.cu
//
// The kernel's text is the very one that NVRTC compiles; only kernels/common/{intrinsics,hopper,tickets}.cuh, whose
// bodies are PTX, are replaced by what is below. A block's threads are fibers that take turns on one thread of the CPU, so that a
// run can be repeated exactly; which of them runs first, and when an asynchronous copy lands, is for the caller to
// choose within what CUDA allows. What CUDA forbids ends the launch with a message.
//
//   cuda_names.h     CUDA's keywords, vector types and mathematics
//   numbers.h        half, bfloat16, tf32
//   fibers.h         stacks, and the switch from one to another
//   block.h          a running block: its threads, who runs next, faults
//   shared_memory.h  addresses, checks, what asynchronous copies and wgmma are still using
//   async_proxy.h    what threads wrote and wgmma or the copy engine may not use yet
//   together.h       what threads do together: __syncthreads, shuffles
//   copies.h         cp.async
//   tensor_cores.h   ldmatrix, mma
//   barriers.h       mbarriers; the launch ahead
//   tensor_maps.h    bulk tensor copies (TMA)
//   wgmma.h          Hopper's matrix product
//   tickets.h        what blocks leave for each other
//   sanitizer.h      indices outside of arrays, misaligned vectors
//   faults.h         signals: memory that is nobody's, stacks that overflow
//   shared_arena.h   a block's dynamic shared memory and its guards
//   run_block.h      one block from beginning to end
//   launch.h         grids, arguments, what Python calls
#pragma once
#define NPRESNET_EMULATOR 1
#define OWN __attribute__((no_sanitize_address))  // a function of ours: its stores are no thread's, see async_proxy.h

#include "cuda_names.h"
#include "numbers.h"
#include "fibers.h"
#include "block.h"
#include "shared_memory.h"
#include "async_proxy.h"
#include "together.h"
#include "copies.h"
#include "tensor_cores.h"
#include "barriers.h"
#include "tensor_maps.h"
#include "wgmma.h"
#include "tickets.h"
#include "sanitizer.h"
#include "faults.h"
#include "run_block.h"
#include "launch.h"
