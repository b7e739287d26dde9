// A running block: its threads, who of them runs next, and the end of a run that went wrong.
//
// A thread runs until it has to wait: for other threads, for a barrier's phase. Then another that can run goes on,
// first of its own warp; so warps run ahead of each other as far as the kernel's own synchronisation lets them, which
// brings a missing barrier to light. When none can run, the bulk copy that somebody waits for lands; when there is
// none, the block is deadlocked.
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace emulator {

struct Copy {
  unsigned to;
  const void* from;  // null: zeros
};

constexpr unsigned NO_BARRIER = ~0u;

struct Fiber : SeenThread {
  Context context;
  int id, lane, warp;
  bool done;
  const unsigned* word;  // waits while *word == value; null: can run
  unsigned value;
  const char* waits_for;
  unsigned barrier;  // that it waits for, by its address
  std::vector<Copy> copies;               // since the last commit
  std::vector<std::vector<Copy>> groups;  // committed, in flight, the oldest first
  std::vector<unsigned> written, fenced;  // chunks of shared memory: since its fence_async_proxy, since a barrier

  bool can_run() const { return !done && (!word || *word != value); }
};

// Where a number of threads meet; `generation` counts how often they did.
struct Meeting {
  const char* operation = nullptr;
  unsigned arrived = 0, generation = 0;
  void* arguments[32];
};

struct Mbarrier {
  unsigned count = 0, pending = 0, phase = 0;
  long bytes = 0;  // expected and not yet landed
  const Fiber* initialised_by = nullptr;
  bool shown = false;  // by its barrier_init_fence
};

// A CUtensorMap's stand-in: tests/emulator/tensor_map.py packs the same 128 bytes.
struct TensorMapFields {
  const unsigned char* base;
  unsigned long long size[4];      // innermost axis first: C, W, H, N, or columns, rows
  long long stride_bytes[3];       // of axes 1, 2, 3
  int lower[2], upper[2];          // im2col: the bounding box's corners, W and H
  int step[2];                     // im2col: from pixel to pixel, W and H
  unsigned box[2];                 // elements along the innermost axis; rows or pixels
  unsigned short element_bytes, swizzle_bytes, im2col, magic, tf32;
};

struct TensorCopy {
  TensorMapFields map;
  unsigned to, barrier;
  int at[4], offset[2];
};

// One wgmma of four warps, of which each computes 16 rows: when it waits for it, or at once.
struct Product {
  void (*compute)(Product&, int warp);
  int columns;
  unsigned long long a, b;
  float* sums[128];
  std::vector<unsigned> chunks;  // of shared memory that it reads
  std::vector<Row8> factors;     // b as numbers, once a warp has needed them
  int finished = 0;              // warps that have waited for it
};

// The wgmmas of four warps, the oldest first, from number `first` of the block on.
struct Products {
  std::deque<Product> in_flight;
  unsigned first = 0;
};

// How far one warp is with its wgmmas.
struct WarpProducts {
  unsigned issued = 0, finished = 0;
  std::vector<unsigned> groups;  // how many had been issued at each wgmma_commit
  bool fenced = false;           // by wgmma_fence, since the last wgmma_wait
};

// What a thread has left for other blocks, until it gets to memory: see tickets.h.
struct Left {
  void* to;
  unsigned char bytes[16];
  unsigned size, generation;  // of the block's barrier
  int thread;
  bool ended;  // its block has
};

struct Block : SeenBlock {
  Stacks stacks;
  std::vector<Fiber> fibers;
  Fiber* now;  // the one that runs
  std::vector<int> warp_order;
  int threads, warps, alive;
  unsigned random;

  Meeting everybody, warp_meetings[32];
  std::map<unsigned, Mbarrier> barriers;
  std::vector<TensorCopy> tensor_copies;
  Products products[8];  // of each four warps
  WarpProducts warp_products[32];
  bool has_waited;  // by wait_for_launch_ahead

  unsigned shared_bytes;
  unsigned char* statics;  // __shared__ arrays
  unsigned static_bytes;
  std::vector<unsigned short> being_read, being_written;  // asynchronous users of each 16 bytes of shared memory
  std::vector<unsigned> unordered;           // writes of each 16 bytes, and who was the last: see async_proxy.h
  std::vector<unsigned short> last_writer;

  std::vector<Left> left;  // by this block, and by those that ran here before
  int drawn_by;            // the thread that has drawn a ticket, or -1; when everybody had met so often
  unsigned drawn_generation;

  void (*kernel)(const void* call);
  const void* call;
  sigjmp_buf end;
  char fault[512];
};

inline Fiber* me() { return static_cast<Fiber*>(stack_owner()); }  // the CUDA thread that runs
inline Block& block() { return *static_cast<Block*>(me()->block); }
static thread_local Block* running = nullptr;  // by this thread of the CPU; for who is not on a fiber's stack

inline unsigned draw(Block& b) {
  b.random = b.random * 1664525u + 1013904223u;
  return b.random >> 10;
}

// Ends the launch with a message. Only the first fault of a block is kept.
void fault(const char* format, ...) {
  Block& b = *running;
  dim3 t = b.now->thread;
  int n = snprintf(b.fault, sizeof b.fault, "block (%u, %u, %u), thread (%u, %u, %u): ", b.index.x, b.index.y,
                   b.index.z, t.x, t.y, t.z);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(b.fault + n, sizeof b.fault - static_cast<size_t>(n), format, arguments);
  va_end(arguments);
  siglongjmp(b.end, 1);
}

bool land_awaited_copy();  // tensor_maps.h

inline Fiber* runnable_in_warp(Block& b, int warp, int after_lane) {
  int lanes = min(32, b.threads - warp * 32);
  Fiber* fibers = &b.fibers[static_cast<size_t>(warp) * 32];
  for (int lane = after_lane + 1; lane < lanes; lane++) {
    if (fibers[lane].can_run()) return fibers + lane;
  }
  for (int lane = 0; lane <= min(after_lane, lanes - 1); lane++) {
    if (fibers[lane].can_run()) return fibers + lane;
  }
  return nullptr;
}

// Who runs next; may be the caller. Null when nobody can.
inline Fiber* next_fiber(Block& b) {
  bool random = b.options.order == Order::random;
  if (!random || draw(b) % 8) {
    if (Fiber* f = runnable_in_warp(b, me()->warp, me()->lane)) return f;
  }
  int start = random ? static_cast<int>(draw(b) % static_cast<unsigned>(b.warps)) : 0;
  for (int k = 0; k < b.warps; k++) {
    if (Fiber* f = runnable_in_warp(b, b.warp_order[static_cast<size_t>((start + k) % b.warps)], 31)) return f;
  }
  return nullptr;
}

[[noreturn]] inline void deadlock(Block& b) {
  std::map<std::string, int> waiting;
  for (const Fiber& f : b.fibers) {
    if (f.done) continue;
    std::string what = f.waits_for;
    if (f.barrier != NO_BARRIER) what += " (shared address " + std::to_string(f.barrier) + ")";
    waiting[what]++;
  }
  char text[300];
  size_t n = 0;
  for (auto& [what, count] : waiting) {
    int written = snprintf(text + n, sizeof text - n, "%s%d threads wait at %s", n ? ", " : "", count, what.c_str());
    n = min(sizeof text - 1, n + static_cast<size_t>(written));
  }
  fault("deadlock: %s%s", text, b.alive < b.threads ? "; the others have returned" : "");
}

inline void switch_to(Fiber* to) {
  Fiber* from = me();
  if (to == from) return;
  block().now = to;
  switch_context(from->context, to->context);
}

inline void run_another() {
  Block& b = block();
  Fiber* next;
  while (!(next = next_fiber(b))) {
    if (!land_awaited_copy()) deadlock(b);
  }
  switch_to(next);
}

// Lets others run while *word == value.
inline void wait_while(const unsigned* word, unsigned value, const char* what, unsigned barrier = NO_BARRIER) {
  me()->word = word;
  me()->value = value;
  me()->waits_for = what;
  me()->barrier = barrier;
  run_another();
  me()->word = nullptr;
}

// Under the random order a thread may be held up anywhere.
inline void perhaps_pause() {
  Block& b = block();
  if (b.options.order == Order::random && draw(b) % 4 == 0) run_another();
}

}  // namespace emulator
