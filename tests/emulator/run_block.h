// One block, from its first thread's first step to its end or its fault.
#pragma once
#include <algorithm>
#include "shared_arena.h"

namespace emulator {

// Where every fiber begins, and whence the last one goes back to run_block.
inline void fiber_main() {
  Block& b = block();
  b.kernel(b.call);
  me()->done = true;
  b.alive--;
  release_everybody_if_complete(b);
  if (!b.alive) siglongjmp(b.end, 1);
  run_another();
  __builtin_unreachable();
}

inline void order_warps(Block& b) {
  b.warp_order.resize(static_cast<size_t>(b.warps));
  for (int i = 0; i < b.warps; i++) b.warp_order[static_cast<size_t>(i)] = i;
  if (b.options.order == Order::descending) std::reverse(b.warp_order.begin(), b.warp_order.end());
  if (b.options.order != Order::random) return;
  for (size_t i = b.warp_order.size(); i > 1; i--) std::swap(b.warp_order[i - 1], b.warp_order[draw(b) % i]);
}

inline void begin_block(Block& b, dim3 index) {
  b.index = index;
  b.alive = b.threads;
  b.random = b.options.seed + 7919 * (index.x + 104729 * (index.y + 1299709 * index.z));
  order_warps(b);
  b.everybody = {};
  for (Meeting& meeting : b.warp_meetings) meeting = {};
  begin_tickets(b);
  b.barriers.clear();
  b.tensor_copies.clear();
  for (Products& products : b.products) products = {};
  for (WarpProducts& warp : b.warp_products) warp = {};
  b.has_waited = false;
  for (int i = 0; i < b.threads; i++) {
    Fiber& f = b.fibers[static_cast<size_t>(i)];
    unsigned id = static_cast<unsigned>(i);
    f.block = &b;
    f.thread = {id % b.size.x, id / b.size.x % b.size.y, id / (b.size.x * b.size.y)};
    f.id = i;
    f.lane = i % 32;
    f.warp = i / 32;
    f.done = false;
    f.word = nullptr;
    f.copies.clear();
    f.groups.clear();
    f.written.clear();
    f.fenced.clear();
    make_context(f.context, b.stacks, i, fiber_main);
    b.stacks.owner(i) = &f;
  }
  poison_shared_memory(b);
}

inline const char* left_undone(const Block& b, const SharedArena& arena) {
  if (!arena.margins_intact()) return "something was written outside of the block's shared memory";
  if (!b.tensor_copies.empty()) return "it ended while a tensor copy was in flight";
  for (int warp = 0; warp < b.warps; warp++) {
    if (b.warp_products[warp].issued != b.warp_products[warp / 4 * 4].issued) {
      return "a wgmma was not executed by all warps of its warpgroup";
    }
  }
  for (const Products& products : b.products) {
    if (!products.in_flight.empty()) return "it ended while a wgmma was in flight";
  }
  if (b.options.pdl && !b.has_waited) {
    return "it may begin before the launch ahead has ended, and no thread has executed wait_for_launch_ahead";
  }
  return nullptr;
}

// Runs one block to its end or its fault. sigsetjmp returns a second time when either is reached.
inline void run_block(Block& b, const SharedArena& arena, dim3 index) {
  begin_block(b, index);
  running = &b;
  if (sigsetjmp(b.end, 0) == 0) {
    Context here;
    b.now = &b.fibers[static_cast<size_t>(b.warp_order[0]) * 32];
    switch_context(here, b.now->context);
  }
  running = nullptr;
  if (b.fault[0]) return;
  if (const char* text = left_undone(b, arena)) {
    snprintf(b.fault, sizeof b.fault, "block (%u, %u, %u): %s", index.x, index.y, index.z, text);
  }
}

}  // namespace emulator
