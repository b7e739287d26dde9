// The asynchronous proxy: wgmma and the copy engine go to shared memory by another way than threads do. What a thread
// wrote, by a store or by cp.async, is not there for them until that thread has executed fence_async_proxy and then met
// others at a barrier; nor may the copy engine write where such a write is still under way. Likewise an mbarrier is not
// there for others than the thread that initialised it before that thread's barrier_init_fence.
//
// Stores are seen because g++ calls a function before each (build.py, STORES): the very chunks that a thread wrote are
// known, also where it wrote what was there before. The rules are stricter than PTX's, under which any fence on the way
// from the write to the use would do: here the writer fences, as NVIDIA's own kernels do. What they do not see: a
// barrier after the fence that did not hold up the threads of the later wgmma. A memcpy of unknown length.
#pragma once
#include <algorithm>

namespace emulator {

// Thread `f` wrote these bytes, as threads write.
inline void note_write(Block& b, Fiber& f, unsigned address, unsigned bytes) {
  check_not_being_read(address, bytes, "a store");
  check_not_being_written(address, bytes, "a store");
  unsigned short number = static_cast<unsigned short>(f.id + 1);
  for (unsigned chunk = address / CHUNK; chunk <= (address + bytes - 1) / CHUNK; chunk++) {
    if (b.last_writer[chunk] == number) continue;  // it is in the thread's list
    b.last_writer[chunk] = number;
    b.unordered[chunk]++;
    f.written.push_back(chunk);
  }
}

// This thread's writes so far are fenced: they count once it meets others.
inline void fence_writes(Fiber& f) {
  for (unsigned chunk : f.written) {
    if (block().last_writer[chunk] == f.id + 1) block().last_writer[chunk] = 0;
    f.fenced.push_back(chunk);
  }
  f.written.clear();
}

// This thread comes to a barrier: who leaves it finds what was fenced.
inline void publish_writes(Fiber& f) {
  for (unsigned chunk : f.fenced) block().unordered[chunk]--;
  f.fenced.clear();
}

inline bool holds(const std::vector<unsigned>& chunks, unsigned chunk) {
  return std::find(chunks.begin(), chunks.end(), chunk) != chunks.end();
}

// A chunk with writes that are not ordered; those that `ordered_for` has fenced are, for what it does itself.
inline void explain_unordered(unsigned chunk, const char* who, const Fiber* ordered_for) {
  for (const Fiber& f : block().fibers) {
    const char* lacks = nullptr;
    if (holds(f.written, chunk)) {
      lacks = "has not executed fence_async_proxy since";
    } else if (&f != ordered_for && holds(f.fenced, chunk)) {
      lacks = "has met nobody at a barrier after its fence_async_proxy";
    }
    if (lacks) {
      fault("%s: shared address %u was written by thread (%u, %u, %u), which %s", who, chunk * CHUNK, f.thread.x,
            f.thread.y, f.thread.z, lacks);
    }
  }
}

// wgmma or the copy engine is about to use these bytes.
inline void check_ordered(unsigned address, unsigned bytes, const char* who, const Fiber* ordered_for = nullptr) {
  for (unsigned chunk = address / CHUNK; chunk <= (address + bytes - 1) / CHUNK; chunk++) {
    if (block().unordered[chunk]) explain_unordered(chunk, who, ordered_for);
  }
}

inline void on_store(const void* to, size_t bytes) {
  Block* b = running;
  if (!b) return;
  auto* p = static_cast<const unsigned char*>(to);
  size_t in_shared = static_cast<size_t>(p - b->shared), in_statics = static_cast<size_t>(p - b->statics);
  if (in_shared < b->shared_bytes) {
    note_write(*b, *b->now, static_cast<unsigned>(in_shared), static_cast<unsigned>(bytes));
  } else if (in_statics < b->static_bytes) {
    note_write(*b, *b->now, STATIC_BASE + static_cast<unsigned>(in_statics), static_cast<unsigned>(bytes));
  }
}

}  // namespace emulator

void fence_async_proxy() { emulator::fence_writes(*emulator::me()); }

// What g++ -fsanitize=kernel-address calls before a store, given STORES of build.py.
#define ON_STORE(bytes) \
  void __asan_store##bytes##_noabort(void* to) { emulator::on_store(to, bytes); }
extern "C" {
ON_STORE(1)
ON_STORE(2)
ON_STORE(4)
ON_STORE(8)
ON_STORE(16)
void __asan_storeN_noabort(void* to, size_t bytes) { emulator::on_store(to, bytes); }
void __asan_handle_no_return() {}
void __asan_before_dynamic_init(const void*) {}
void __asan_after_dynamic_init() {}
}
#undef ON_STORE
