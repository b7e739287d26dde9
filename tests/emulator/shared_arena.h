// A block's dynamic shared memory, and what lies around it to catch who reaches too far.
#pragma once

namespace emulator {

constexpr unsigned MARGIN = 1024;  // poisoned bytes before and, up to the guard, after dynamic shared memory

// Dynamic shared memory whose end is close to what cannot be touched.
struct SharedArena {
  unsigned char* mapping;
  size_t mapped;
  unsigned char* begin;
  unsigned bytes, after;

  explicit SharedArena(unsigned bytes_) : bytes(bytes_) {
    size_t rounded = (bytes + MARGIN - 1) / MARGIN * MARGIN;
    size_t inside = (rounded + MARGIN + PAGE - 1) / PAGE * PAGE;
    mapped = inside + 2 * SHARED_GUARD;
    void* p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
      mapping = nullptr;
      return;
    }
    mapping = static_cast<unsigned char*>(p);
    mprotect(mapping, SHARED_GUARD, PROT_NONE);
    mprotect(mapping + SHARED_GUARD + inside, SHARED_GUARD, PROT_NONE);
    begin = mapping + SHARED_GUARD + inside - rounded;
    after = static_cast<unsigned>(rounded) - bytes;
    memset(begin - MARGIN, 0xFF, MARGIN + rounded);
  }
  ~SharedArena() {
    if (mapping) munmap(mapping, mapped);
  }
  SharedArena(const SharedArena&) = delete;

  bool margins_intact() const {
    for (const unsigned char* p = begin - MARGIN; p < begin; p++) {
      if (*p != 0xFF) return false;
    }
    for (const unsigned char* p = begin + bytes; p < begin + bytes + after; p++) {
      if (*p != 0xFF) return false;
    }
    return true;
  }
};

}  // namespace emulator
