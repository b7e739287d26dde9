// Shared memory: addresses, checks, poison, and what asynchronous work is still using.
//
// An address is an offset into the block's dynamic shared memory, or STATIC_BASE plus one into its __shared__ arrays,
// which lie in the thread-local storage of the kernel's library. Both hold NaN when a block begins.
#pragma once
#include <link.h>
#include <algorithm>

namespace emulator {

constexpr unsigned STATIC_BASE = 256 << 10;
constexpr size_t SHARED_GUARD = 1 << 20;  // bytes that cannot be touched, before and after dynamic shared memory
constexpr unsigned CHUNK = 16;  // bytes that asynchronous work is kept account of

// Where `address` lies in memory, once it is known to be aligned and to have that many bytes.
inline unsigned char* shared_at(unsigned address, unsigned bytes, unsigned alignment, const char* who) {
  Block& b = block();
  if (address % alignment) fault("%s: shared address %u is not a multiple of %u", who, address, alignment);
  if (address < b.shared_bytes && bytes <= b.shared_bytes - address) return b.shared + address;
  unsigned offset = address - STATIC_BASE;
  if (address >= STATIC_BASE && offset < b.static_bytes && bytes <= b.static_bytes - offset) return b.statics + offset;
  fault("%s: shared addresses %u to %u are out of range, the block has %u bytes", who, address, address + bytes,
        b.shared_bytes);
}

inline void check_not_being_written(unsigned address, unsigned bytes, const char* who) {
  for (unsigned chunk = address / CHUNK; chunk <= (address + bytes - 1) / CHUNK; chunk++) {
    if (block().being_written[chunk]) {
      fault("%s: shared address %u is used while an asynchronous copy to it is in flight", who, chunk * CHUNK);
    }
  }
}

inline void check_not_being_read(unsigned address, unsigned bytes, const char* who) {
  for (unsigned chunk = address / CHUNK; chunk <= (address + bytes - 1) / CHUNK; chunk++) {
    if (block().being_read[chunk]) {
      fault("%s: shared address %u is overwritten while a wgmma that reads it is in flight", who, chunk * CHUNK);
    }
  }
}

// An asynchronous copy begins: until it has landed, what was there is gone.
inline void begin_copy(unsigned address, unsigned bytes, const char* who) {
  check_not_being_written(address, bytes, who);
  check_not_being_read(address, bytes, who);
  memset(shared_at(address, bytes, CHUNK, who), 0xFF, bytes);
  for (unsigned chunk = address / CHUNK; chunk < (address + bytes) / CHUNK; chunk++) block().being_written[chunk] = 1;
}

inline void end_copy(unsigned address, unsigned bytes) {
  for (unsigned chunk = address / CHUNK; chunk < (address + bytes) / CHUNK; chunk++) block().being_written[chunk] = 0;
}

// The thread-local storage, on the calling thread, of the library in whose an address lies.
struct ThreadLocal {
  const void* inside;
  unsigned char* memory = nullptr;
  size_t bytes = 0;
};

inline int find_thread_local(dl_phdr_info* info, size_t, void* found) {
  auto* result = static_cast<ThreadLocal*>(found);
  for (int i = 0; i < info->dlpi_phnum; i++) {
    auto* memory = static_cast<unsigned char*>(info->dlpi_tls_data);
    size_t bytes = info->dlpi_phdr[i].p_memsz;
    if (info->dlpi_phdr[i].p_type == PT_TLS && result->inside >= memory && result->inside < memory + bytes) {
      result->memory = memory;
      result->bytes = bytes;
      return 1;
    }
  }
  return 0;
}

// What lies between the dynamic shared memory and the arrays has had no users since the launch began.
template <class T> inline void forget_users(std::vector<T>& users, size_t shared, size_t chunks) {
  users.resize(chunks);
  std::fill_n(users.begin(), shared, 0);
  std::fill(users.begin() + STATIC_BASE / CHUNK, users.end(), 0);
}

inline void poison_shared_memory(Block& b) {
  memset(b.shared, 0xFF, b.shared_bytes);
  memset(b.statics, 0xFF, b.static_bytes);
  size_t shared = (b.shared_bytes + CHUNK - 1) / CHUNK, chunks = (STATIC_BASE + b.static_bytes) / CHUNK + 1;
  forget_users(b.being_read, shared, chunks);
  forget_users(b.being_written, shared, chunks);
  forget_users(b.unordered, shared, chunks);
  forget_users(b.last_writer, shared, chunks);
}

}  // namespace emulator

unsigned shared_address(const void* pointer) {
  emulator::Block& b = emulator::block();
  auto* p = static_cast<const unsigned char*>(pointer);
  if (p >= b.shared && p < b.shared + b.shared_bytes) return static_cast<unsigned>(p - b.shared);
  if (p >= b.statics && p < b.statics + b.static_bytes) {
    return emulator::STATIC_BASE + static_cast<unsigned>(p - b.statics);
  }
  emulator::fault("shared_address: the pointer does not point into shared memory");
}
