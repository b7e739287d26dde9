// What a kernel sees of the block that runs it, and how it finds its block: every stack begins with a page that cannot be
// touched and a word that says whose it is. A fiber never leaves the CPU thread that it began on.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace emulator {

constexpr size_t PAGE = 16384;  // the largest page of a system that we run on
constexpr size_t STACK_BYTES = 128 << 10;  // address space: only pages that are touched cost memory

enum class Order { ascending, descending, random };

// How a launch is to be run, within what CUDA leaves open.
struct Options {
  bool lazy;    // asynchronous work happens as late as it may, or at once
  Order order;  // which warp goes first
  unsigned seed;
  int planted;  // the fault that a test plants in this launch, 0 for none
  bool pdl;     // it may begin before the launch ahead of it has ended
};

struct SeenBlock {
  Options options;
  dim3 index, size, grid;
  unsigned char* shared;  // dynamic shared memory
};

struct SeenThread {
  SeenBlock* block;
  dim3 thread;
};

// Whose stack this is: the running thread. Only to be asked on a fiber's stack; thread-local storage would be slower.
inline SeenThread* stack_owner() {
  uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  return *reinterpret_cast<SeenThread* const*>((here & ~(STACK_BYTES - 1)) + PAGE);
}

}  // namespace emulator

#define threadIdx (emulator::stack_owner()->thread)
#define blockIdx (emulator::stack_owner()->block->index)
#define blockDim (emulator::stack_owner()->block->size)
#define gridDim (emulator::stack_owner()->block->grid)

#define SHARED_MEMORY(T, name) T* name = reinterpret_cast<T*>(emulator::stack_owner()->block->shared)

// In a text that a test has edited: whether this launch is to go wrong in the way of this number.
#define PLANTED(number) (emulator::stack_owner()->block->options.planted == (number))
