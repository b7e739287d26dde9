// Stacks, and the switch from one to another. A fiber never leaves the CPU thread that it began on.
#pragma once
#include <setjmp.h>
#include <stdint.h>
#include <sys/mman.h>

#if !defined(__x86_64__) || defined(EMULATOR_UCONTEXT)
#define EMULATOR_USES_UCONTEXT 1
#include <ucontext.h>
#endif

namespace emulator {

constexpr size_t PAGE = 16384;  // the largest page of a system that we run on
constexpr size_t STACK_BYTES = 128 << 10;  // address space: only pages that are touched cost memory

struct Fiber;

// Stacks of one block. Each begins with a page that cannot be touched and a word that says whose it is.
struct Stacks {
  void* mapping = nullptr;
  size_t mapped = 0;
  unsigned char* memory = nullptr;
  int count = 0;

  Stacks() = default;
  Stacks(const Stacks&) = delete;
  ~Stacks() {
    if (mapping) munmap(mapping, mapped);
  }

  unsigned char* top(int i) const { return memory + STACK_BYTES * (static_cast<size_t>(i) + 1); }
  Fiber*& owner(int i) { return *reinterpret_cast<Fiber**>(top(i) - STACK_BYTES + PAGE); }
  bool holds(const void* p) const { return p >= memory && p < memory + STACK_BYTES * static_cast<size_t>(count); }

  // Room for `wanted` stacks, each at a multiple of its size.
  bool reserve(int wanted) {
    if (wanted <= count) return true;
    if (mapping) munmap(mapping, mapped);
    count = 0;
    mapped = STACK_BYTES * (static_cast<size_t>(wanted) + 1);
    mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) mapping = nullptr;
    if (!mapping) return false;
    uintptr_t aligned = (reinterpret_cast<uintptr_t>(mapping) + STACK_BYTES - 1) & ~(STACK_BYTES - 1);
    memory = reinterpret_cast<unsigned char*>(aligned);
    count = wanted;
    for (int i = 0; i < count; i++) mprotect(memory + STACK_BYTES * static_cast<size_t>(i), PAGE, PROT_NONE);
    return true;
  }
};

// Whose stack this is: the running fiber. Only to be asked on a fiber's stack; thread-local storage would be slower.
inline Fiber* stack_owner() {
  uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  return *reinterpret_cast<Fiber* const*>((here & ~(STACK_BYTES - 1)) + PAGE);
}

// Where a fiber stands when it does not run.
struct Context {
#ifdef EMULATOR_USES_UCONTEXT
  ucontext_t context;
#else
  void* stack_pointer;
#endif
};

#ifndef EMULATOR_USES_UCONTEXT
extern "C" void emulator_switch(void** save_stack_pointer, void* stack_pointer);

// Saves what the System V ABI wants kept, and takes the other fiber's from its stack.
__asm__(R"(
.text
.type emulator_switch, @function
emulator_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size emulator_switch, .-emulator_switch
)");
#endif

// Prepares `context` to begin with `function`, which never returns.
inline void make_context(Context& context, const Stacks& stacks, int i, void (*function)()) {
#ifdef EMULATOR_USES_UCONTEXT
  getcontext(&context.context);
  context.context.uc_stack.ss_sp = stacks.top(i) - STACK_BYTES + PAGE + 64;
  context.context.uc_stack.ss_size = STACK_BYTES - PAGE - 64;
  context.context.uc_link = nullptr;
  makecontext(&context.context, function, 0);
#else
  // six registers, the address to return to, and one word that aligns the stack as a call would
  void** stack = reinterpret_cast<void**>(stacks.top(i)) - 2;
  stack[0] = reinterpret_cast<void*>(function);
  stack[1] = nullptr;
  for (int k = 1; k <= 6; k++) stack[-k] = nullptr;
  context.stack_pointer = stack - 6;
#endif
}

inline void switch_context(Context& from, Context& to) {
#ifdef EMULATOR_USES_UCONTEXT
  swapcontext(&from.context, &to.context);
#else
  emulator_switch(&from.stack_pointer, to.stack_pointer);
#endif
}

}  // namespace emulator
