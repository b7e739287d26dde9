// kernels/common/tickets.cuh on the CPU. What a block leaves for others gets to memory as late as it may: when a thread
// of its own that knows of it - the same one, or one that has met it at a barrier - draws a ticket, or else at the end
// of the launch. Who has not drawn, nor met at a barrier one who has, may not find what others left.
#pragma once

namespace emulator {

// A block begins here.
inline void begin_tickets(Block& b) {
  for (Left& one : b.left) one.ended = true;
  b.drawn_by = -1;
}

// What blocks that have ended left without a ticket: nobody has to see it before the launch ends.
inline void give_up_left(Block& b) {
  for (const Left& one : b.left) memcpy(one.to, one.bytes, one.size);
  b.left.clear();
}

// What the running thread knows of.
inline void publish_left(Block& b) {
  size_t kept = 0;
  for (const Left& one : b.left) {
    bool known = one.thread == me()->id || one.generation < b.everybody.generation;
    if (known && !one.ended) memcpy(one.to, one.bytes, one.size);
    else b.left[kept++] = one;
  }
  b.left.resize(kept);
}

void leave(void* to, const void* value, unsigned bytes, unsigned alignment) {
  Block& b = block();
  if (reinterpret_cast<uintptr_t>(to) % alignment) fault("a misaligned vector, at %p", to);
  (void)*reinterpret_cast<const volatile unsigned char*>(to);  // memory that is nobody's is noticed here
  if (!b.options.lazy) {
    memcpy(to, value, bytes);
    return;
  }
  Left one = {to, {}, bytes, b.everybody.generation, me()->id, false};
  memcpy(one.bytes, value, bytes);
  b.left.push_back(one);
}

void check_ticket() {
  Block& b = block();
  if (b.drawn_by < 0 || (b.drawn_by != me()->id && b.drawn_generation >= b.everybody.generation)) {
    fault("it looks for what other blocks have left, but has drawn no ticket");
  }
}

}  // namespace emulator

unsigned draw_ticket(unsigned* counter, unsigned tickets) {
  emulator::perhaps_pause();
  emulator::Block& b = emulator::block();
  emulator::publish_left(b);
  unsigned before = __atomic_load_n(counter, __ATOMIC_RELAXED), after;
  do {
    after = before >= tickets - 1 ? 0 : before + 1;
  } while (!__atomic_compare_exchange_n(counter, &before, after, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
  b.drawn_by = emulator::me()->id;
  b.drawn_generation = b.everybody.generation;
  return before;
}
