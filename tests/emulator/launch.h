// Grids: blocks one after the other, or spread over threads of the CPU; arguments as CUDA's launch takes them; and
// KERNEL(name), which exports name__launch for Python.
#pragma once
#include <atomic>
#include <numeric>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

namespace emulator {

// tests/emulator/emulator.py declares the same fields.
struct Call {
  unsigned grid[3], block[3];
  unsigned shared_bytes;
  int lazy, order;
  unsigned seed;
  int planted;
  int pdl;
  int cpu_threads;
  int argument_count;
  const void* const* arguments;
  const unsigned* argument_bytes;
  const char* argument_kinds;  // NumPy's letters: u, i, f, V
};

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

// Every stack with its guard is two of the 65,530 mappings that Linux allows a process: see emulator.py.
extern "C" void forget_idle_workers() {
  std::lock_guard<std::mutex> hold(idle_workers_lock);
  for (Worker* worker : idle_workers) delete worker;
  idle_workers.clear();
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

inline void run_blocks(const Call& call, void (*kernel)(const void*), Progress& progress) {
  Worker* worker = take_worker();
  Block& b = worker->block;
  SharedArena arena(call.shared_bytes);
  ThreadLocal statics;
  running = nullptr;  // brings this thread's storage into being
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
  b.kernel = kernel;
  b.arguments = &call;
  b.fault[0] = 0;
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

template <class T> constexpr const char* accepted_kinds() {
  if (std::is_pointer_v<T>) return "u";
  if (std::is_floating_point_v<T>) return "f";
  if (std::is_integral_v<T>) return "iu";
  return "V";
}

template <class T> inline bool accepts(const Call& call, size_t i, Progress& progress) {
  typedef std::remove_cv_t<T> Value;
  if (call.argument_bytes[i] == sizeof(Value) && strchr(accepted_kinds<Value>(), call.argument_kinds[i])) return true;
  char text[200];
  snprintf(text, sizeof text, "argument %zu is of NumPy's kind %c%u, the kernel takes kind %s of %zu bytes", i,
           call.argument_kinds[i], call.argument_bytes[i], accepted_kinds<Value>(), sizeof(Value));
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

template <class T> inline std::remove_cv_t<T> load_argument(const void* p) {
  std::remove_cv_t<T> value;
  memcpy(static_cast<void*>(&value), p, sizeof value);
  return value;
}

template <auto kernel, class... T, size_t... I>
inline int launch(const Call& call, Progress& progress, void (*)(T...), std::index_sequence<I...>) {
  if (call.argument_count != sizeof...(T)) {
    char text[100];
    snprintf(text, sizeof text, "the kernel takes %zu arguments, not %d", sizeof...(T), call.argument_count);
    progress.fail(text);
    return 1;
  }
  if (!within_limits(call, progress) || !(accepts<T>(call, I, progress) && ...)) return 1;
  catch_signals();
  auto call_kernel = [](const void* p) { kernel(load_argument<T>(static_cast<const Call*>(p)->arguments[I])...); };
  std::vector<std::thread> others;
  for (int i = 1; i < call.cpu_threads; i++) others.emplace_back([&] { run_blocks(call, call_kernel, progress); });
  run_blocks(call, call_kernel, progress);
  for (std::thread& thread : others) thread.join();
  return progress.failed;
}

template <auto kernel, class... T>
inline int launch(const Call& call, Progress& progress, void (*typed)(T...)) {
  return launch<kernel>(call, progress, typed, std::index_sequence_for<T...>{});
}

// What a driver knows of a kernel's parameters: each one's bytes, and the first of NumPy's letters for it.
template <class... T> inline int parameters_of(void (*)(T...), unsigned* bytes, char* kinds) {
  const unsigned sizes[] = {sizeof(std::remove_cv_t<T>)..., 0};
  const char letters[] = {accepted_kinds<std::remove_cv_t<T>>()[0]..., 0};
  memcpy(bytes, sizes, sizeof...(T) * sizeof sizes[0]);
  memcpy(kinds, letters, sizeof...(T));
  return sizeof...(T);
}

}  // namespace emulator

// In a text that a test has edited: whether this launch is to go wrong in the way of this number.
#define PLANTED(number) (emulator::block().options.planted == (number))

// Returns 0, or 1 with a message.
#define KERNEL(name)                                                                                           \
  extern "C" int name##__launch(const emulator::Call* call, char* message, size_t message_bytes) {             \
    emulator::Progress progress;                                                                               \
    progress.message = message;                                                                                \
    progress.message_bytes = message_bytes;                                                                    \
    return emulator::launch<name>(*call, progress, name);                                                      \
  }                                                                                                            \
  extern "C" int name##__parameters(unsigned* bytes, char* kinds) {                                            \
    return emulator::parameters_of(name, bytes, kinds);                                                        \
  }
