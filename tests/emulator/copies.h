// cp.async: 16 bytes from global to shared memory. Lazily they land when their thread waits for their group.
#pragma once

namespace emulator {

inline void land(const Copy& copy) {
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

void copy_async_16(unsigned shared_to, const void* from, bool valid, bool may_wait) {
  if (reinterpret_cast<uintptr_t>(from) % 16) fault("copy_async_16: global address %p is not a multiple of 16", from);
  begin_copy(shared_to, 16, "copy_async_16");
  Copy copy{shared_to, valid ? from : nullptr};
  if (block().options.lazy && may_wait) {
    me()->copies.push_back(copy);
  } else {
    land(copy);
  }
}

void wait_for_copies(unsigned groups_left) {
  auto& groups = me()->groups;
  while (groups.size() > groups_left) {
    for (const Copy& copy : groups.front()) land(copy);
    groups.erase(groups.begin());
  }
  perhaps_pause();
}

}  // namespace emulator

void copy_async_commit() {
  emulator::Fiber& f = *emulator::me();
  f.groups.push_back(std::move(f.copies));
  f.copies.clear();
}
