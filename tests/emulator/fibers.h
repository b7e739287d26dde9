// Stacks, and the switch from one to another.
#pragma once
#include <setjmp.h>
#include <sys/mman.h>

#if !defined(__x86_64__) || defined(EMULATOR_UCONTEXT)
#define EMULATOR_USES_UCONTEXT 1
#include <ucontext.h>
#endif

namespace emulator {

// Stacks of one block; seen.h says how each begins.
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
  SeenThread*& owner(int i) { return *reinterpret_cast<SeenThread**>(top(i) - STACK_BYTES + PAGE); }
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
