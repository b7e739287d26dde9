// What runs kernels, see emulator.h: a library of its own, compiled once, that every kernel's library uses.
//
//   elements.h       what a tensor core makes of bits
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
//   launch.h         grids
#define __CUDA_ARCH__ 900  // no function of the machine looks at it
#include "emulator.h"

#include "elements.h"
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
