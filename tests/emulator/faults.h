// The CPU's own faults inside a kernel - an address that is nobody's, a stack that overflowed - as messages.
#pragma once
#include <signal.h>
#include <algorithm>
#include <mutex>

namespace emulator {

inline const char* fault_of(const Block& b, int signal_number, const void* address) {
  auto* p = static_cast<const unsigned char*>(address);
  if (signal_number == SIGFPE || signal_number == SIGILL) return "division of integers by zero, at";
  if (b.stacks.holds(p)) return "a thread's stack overflowed, at";
  if (p + SHARED_GUARD > b.shared && p < b.shared + b.shared_bytes + SHARED_GUARD) {
    return "access outside of the block's shared memory, at";
  }
  return "access to memory that belongs to no array, or a misaligned vector, at";
}

// g++ makes an illegal instruction of a division whose divisor it knows to be zero
constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
inline struct sigaction old_handlers[4];

// What is not ours goes to whoever was there before.
inline void on_signal(int number, siginfo_t* info, void* context) {
  if (running) fault("%s %p", fault_of(*running, number, info->si_addr), info->si_addr);
  struct sigaction& old = old_handlers[std::find(SIGNALS, SIGNALS + 4, number) - SIGNALS];
  if (old.sa_flags & SA_SIGINFO) {
    old.sa_sigaction(number, info, context);
  } else if (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN) {
    signal(number, SIG_DFL);  // the instruction is tried again, and ends the process
  } else {
    old.sa_handler(number);
  }
}

// At each launch, for libraries of the process may have put theirs in place of ours meanwhile (Ray's core does).
inline void catch_signals() {
  static std::mutex one_at_a_time;
  std::lock_guard<std::mutex> lock(one_at_a_time);
  struct sigaction action = {}, now = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int i = 0; i < 4; i++) {
    sigaction(SIGNALS[i], nullptr, &now);
    if (now.sa_sigaction == on_signal) continue;
    old_handlers[i] = now;
    sigaction(SIGNALS[i], &action, nullptr);
  }
}

// A stack for the handler, for the fiber's own may be what overflowed.
struct SignalStack {
  stack_t before;
  unsigned char memory[64 << 10];

  void use() {
    stack_t mine = {};
    mine.ss_sp = memory;
    mine.ss_size = sizeof memory;
    sigaltstack(&mine, &before);
  }
  void leave() {
    if (before.ss_flags & SS_ONSTACK) before.ss_flags = 0;
    sigaltstack(&before, nullptr);
  }
};

}  // namespace emulator
