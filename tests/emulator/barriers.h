// mbarriers: a phase ends when all have arrived and all expected bytes have landed. And the launch ahead, which has
// always ended here: all that can be seen is whether a block that overlaps it waits.
#pragma once

namespace emulator {

inline Mbarrier& mbarrier(unsigned address, const char* who) {
  shared_at(address, 8, 8, who);
  auto found = block().barriers.find(address);
  if (found == block().barriers.end()) fault("%s: there is no barrier at shared address %u", who, address);
  return found->second;
}

// For who did not initialise it, or for the copy engine (`by` null), it is there after a fence.
inline Mbarrier& shown_mbarrier(unsigned address, const Fiber* by, const char* who) {
  Mbarrier& barrier = mbarrier(address, who);
  if (!barrier.shown && barrier.initialised_by != by) {
    const dim3& t = barrier.initialised_by->thread;
    fault("%s: the barrier at shared address %u was initialised by thread (%u, %u, %u), which has not executed "
          "barrier_init_fence since", who, address, t.x, t.y, t.z);
  }
  return barrier;
}

inline void end_phase_if_complete(Mbarrier& barrier) {
  if (barrier.pending || barrier.bytes) return;
  barrier.pending = barrier.count;
  barrier.phase++;
}

}  // namespace emulator

void barrier_init(unsigned barrier, int count) {
  emulator::shared_at(barrier, 8, 8, "barrier_init");
  if (count < 1) emulator::fault("barrier_init: a barrier for %d arrivals", count);
  unsigned arrivals = static_cast<unsigned>(count);
  emulator::block().barriers[barrier] = {arrivals, arrivals, 0, 0, emulator::me(), false};
}

void barrier_init_fence() {
  for (auto& [address, barrier] : emulator::block().barriers) barrier.shown |= barrier.initialised_by == emulator::me();
}

void barrier_arrive(unsigned barrier) {
  emulator::publish_writes(*emulator::me());
  emulator::Mbarrier& b = emulator::shown_mbarrier(barrier, emulator::me(), "barrier_arrive");
  if (!b.pending) emulator::fault("barrier_arrive: more than %u arrivals in one phase, address %u", b.count, barrier);
  b.pending--;
  emulator::end_phase_if_complete(b);
  emulator::perhaps_pause();
}

void barrier_expect(unsigned barrier, unsigned bytes) {
  if (bytes >= 1u << 20) emulator::fault("barrier_expect: %u bytes, a barrier counts to 2^20 - 1", bytes);
  emulator::shown_mbarrier(barrier, emulator::me(), "barrier_expect").bytes += bytes;
  barrier_arrive(barrier);
}

void barrier_wait(unsigned barrier, unsigned parity) {
  emulator::Mbarrier& b = emulator::shown_mbarrier(barrier, emulator::me(), "barrier_wait");
  if (parity > 1) emulator::fault("barrier_wait: parity %u, which is 0 or 1", parity);
  while ((b.phase & 1) == parity) emulator::wait_while(&b.phase, b.phase, "barrier_wait", barrier);
}

void wait_for_launch_ahead() { emulator::block().has_waited = true; }
