// cp.async: 16 bytes from global to shared memory. Lazily they land when their thread waits for their group.
#pragma once

namespace emulator {

OWN inline void land(const Copy& copy) {
  check_not_being_read(copy.to, 16, "copy_async_16");
  unsigned char* to = shared_at(copy.to, 16, 16, "copy_async_16");
  if (copy.from) {
    memcpy(to, copy.from, 16);
  } else {
    memset(to, 0, 16);
  }
  end_copy(copy.to, 16);
  note_write(block(), *me(), copy.to, 16);  // for the asynchronous proxy, cp.async is as a thread's store
}

}  // namespace emulator

inline void copy_async_16(unsigned shared_to, const void* from, bool valid) {
  if (reinterpret_cast<uintptr_t>(from) % 16) {
    emulator::fault("copy_async_16: global address %p is not a multiple of 16", from);
  }
  emulator::begin_copy(shared_to, 16, "copy_async_16");
  emulator::Copy copy{shared_to, valid ? from : nullptr};
  if (emulator::block().options.lazy && __CUDA_ARCH__ >= 800) {
    emulator::me()->copies.push_back(copy);
  } else {
    emulator::land(copy);
  }
}

inline void copy_async_commit() {
  emulator::Fiber& f = *emulator::me();
  f.groups.push_back(std::move(f.copies));
  f.copies.clear();
}

template <int N> inline void copy_async_wait() {
  auto& groups = emulator::me()->groups;
  while (groups.size() > N) {
    for (const emulator::Copy& copy : groups.front()) emulator::land(copy);
    groups.erase(groups.begin());
  }
  emulator::perhaps_pause();
}
