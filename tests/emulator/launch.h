// Grids: blocks one after the other, or spread over threads of the CPU.
#pragma once
#include <atomic>
#include <numeric>
#include <thread>

namespace emulator {

// What a launch keeps of one thread of the CPU; used again by later launches, for stacks are slow to make.
struct Worker {
  Block block;
  SignalStack signal_stack;
};

inline std::mutex idle_workers_lock;
inline std::vector<Worker*> idle_workers;

inline Worker* take_worker() {
  std::lock_guard<std::mutex> hold(idle_workers_lock);
  if (idle_workers.empty()) return new Worker();
  Worker* worker = idle_workers.back();
  idle_workers.pop_back();
  return worker;
}

inline void give_back(Worker* worker) {
  std::lock_guard<std::mutex> hold(idle_workers_lock);
  idle_workers.push_back(worker);
}

// What all threads of the CPU share while a launch runs.
struct Progress {
  std::atomic<unsigned long long> next_block{0};
  std::atomic<bool> failed{false};
  std::mutex lock;
  char* message;
  size_t message_bytes;

  void fail(const char* text) {
    std::lock_guard<std::mutex> hold(lock);
    if (!failed.exchange(true)) snprintf(message, message_bytes, "%s", text);
  }
};

// Which block runs as number i of all: CUDA promises nothing. In the order that warps have as well.
inline unsigned long long block_at(unsigned long long i, unsigned long long blocks, const Options& options) {
  if (options.order == Order::descending) return blocks - 1 - i;
  if (options.order != Order::random) return i;
  unsigned long long step = options.seed * 7919ULL % blocks + 1;
  while (std::gcd(step, blocks) != 1) step++;
  return (i * step + options.seed) % blocks;
}

inline void run_blocks(const Call& call, const Kernel& kernel, Progress& progress) {
  Worker* worker = take_worker();
  Block& b = worker->block;
  SharedArena arena(call.shared_bytes);
  ThreadLocal statics{kernel.thread_local_storage()};
  dl_iterate_phdr(find_thread_local, &statics);
  b.options = {call.lazy != 0, static_cast<Order>(call.order), call.seed, call.planted, call.pdl != 0};
  b.size = {call.block[0], call.block[1], call.block[2]};
  b.grid = {call.grid[0], call.grid[1], call.grid[2]};
  b.threads = static_cast<int>(b.size.x * b.size.y * b.size.z);
  b.warps = (b.threads + 31) / 32;
  b.shared = arena.begin;
  b.shared_bytes = call.shared_bytes;
  b.statics = statics.memory;
  b.static_bytes = static_cast<unsigned>(statics.bytes);
  b.kernel = kernel.call;
  b.call = &call;
  b.fault[0] = 0;
  for (auto* users : {&b.being_read, &b.being_written, &b.last_writer}) users->clear();
  b.unordered.clear();
  b.fibers.resize(static_cast<size_t>(b.threads));
  if (!arena.mapping || !b.stacks.reserve(b.threads)) return progress.fail("there is no memory for a block");
  worker->signal_stack.use();
  unsigned long long blocks = 1ULL * b.grid.x * b.grid.y * b.grid.z;
  for (unsigned long long i; !progress.failed && (i = progress.next_block++) < blocks;) {
    unsigned long long at = block_at(i, blocks, b.options);
    run_block(b, arena, {static_cast<unsigned>(at % b.grid.x), static_cast<unsigned>(at / b.grid.x % b.grid.y),
                         static_cast<unsigned>(at / b.grid.x / b.grid.y)});
    if (b.fault[0]) progress.fail(b.fault);
  }
  give_up_left(b);
  worker->signal_stack.leave();
  give_back(worker);
}

inline bool accepts(const Parameter& parameter, const Call& call, size_t i, Progress& progress) {
  if (call.argument_bytes[i] == parameter.bytes && strchr(parameter.kinds, call.argument_kinds[i])) return true;
  char text[200];
  snprintf(text, sizeof text, "argument %zu is of NumPy's kind %c%u, the kernel takes kind %s of %u bytes", i,
           call.argument_kinds[i], call.argument_bytes[i], parameter.kinds, parameter.bytes);
  progress.fail(text);
  return false;
}

inline bool within_limits(const Call& call, Progress& progress) {
  unsigned long long threads = 1ULL * call.block[0] * call.block[1] * call.block[2];
  if (!threads || threads > 1024) progress.fail("a block has 1 to 1024 threads");
  if (!call.grid[0] || !call.grid[1] || !call.grid[2]) progress.fail("the grid has no block");
  if (call.grid[1] > 65535 || call.grid[2] > 65535) progress.fail("a grid has at most 65535 blocks along y and z");
  if (call.shared_bytes > 227 << 10) progress.fail("a block has at most 227 KiB of shared memory");
  return !progress.failed;
}

inline bool accepts_all(const Kernel& kernel, const Call& call, Progress& progress) {
  if (call.argument_count != static_cast<int>(kernel.parameter_count)) {
    char text[100];
    snprintf(text, sizeof text, "the kernel takes %zu arguments, not %d", kernel.parameter_count, call.argument_count);
    progress.fail(text);
    return false;
  }
  if (!within_limits(call, progress)) return false;
  for (size_t i = 0; i < kernel.parameter_count; i++) {
    if (!accepts(kernel.parameters[i], call, i, progress)) return false;
  }
  return true;
}

int launch(const Call& call, const Kernel& kernel, char* message, size_t message_bytes) {
  Progress progress;
  progress.message = message;
  progress.message_bytes = message_bytes;
  if (!accepts_all(kernel, call, progress)) return 1;
  catch_signals();
  std::vector<std::thread> others;
  for (int i = 1; i < call.cpu_threads; i++) others.emplace_back([&] { run_blocks(call, kernel, progress); });
  run_blocks(call, kernel, progress);
  for (std::thread& thread : others) thread.join();
  return progress.failed;
}

}  // namespace emulator
