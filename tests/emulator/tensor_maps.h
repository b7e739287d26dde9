// Bulk tensor copies: a box of a tensor, from global to shared memory, its bytes counted by a barrier. Lazily they land
// when no thread can run without them.
#pragma once

namespace emulator {

static_assert(sizeof(TensorMapFields) == 112 && sizeof(TensorMap) == 128, "tests/emulator/tensor_map.py packs these");
constexpr unsigned short TENSOR_MAP_MAGIC = 0x7A3E;

// Walks the pixels that an im2col copy visits: along W, then H, then N, within the bounding box.
struct Pixels {
  const TensorMapFields& map;
  long w, h, n;

  long width_end() const { return static_cast<long>(map.size[1]) + map.upper[0]; }
  long height_end() const { return static_cast<long>(map.size[2]) + map.upper[1]; }
  bool in_box() const { return w >= map.lower[0] && w < width_end() && h >= map.lower[1] && h < height_end(); }

  void advance() {
    if ((w += map.step[0]) < width_end()) return;
    w = map.lower[0];
    if ((h += map.step[1]) < height_end()) return;
    h = map.lower[1];
    n++;
  }
};

inline bool within(long i, unsigned long long size) { return i >= 0 && i < static_cast<long>(size); }

// The first element of the box's row, or null where the whole row is outside.
inline const unsigned char* pixel_address(const TensorMapFields& m, long w, long h, long n) {
  if (!within(w, m.size[1]) || !within(h, m.size[2]) || !within(n, m.size[3])) return nullptr;
  return m.base + w * m.stride_bytes[0] + h * m.stride_bytes[1] + n * m.stride_bytes[2];
}

// A map of tf32 rounds to the nearest, ties to even, and leaves infinities and NaN alone: nothing that NVIDIA writes says
// so, but Triton's tests of its option round_f32_to_tf32 do, on hardware.
inline void round_to_tf32(unsigned char* number) {
  unsigned bits;
  memcpy(&bits, number, 4);
  if ((bits & 0x7F800000) == 0x7F800000) return;
  bits = (bits + 0xFFF + (bits >> 13 & 1)) & 0xFFFFE000;
  memcpy(number, &bits, 4);
}

// One row of the box; the swizzle exchanges the 16-byte chunks of each 128 bytes by bits 7 to 9 of their address.
inline void land_row(const TensorCopy& copy, unsigned row_address, const unsigned char* from) {
  const TensorMapFields& m = copy.map;
  for (unsigned i = 0; i < m.box[0]; i++) {
    unsigned address = row_address + i * m.element_bytes;
    if (m.swizzle_bytes == 128) address ^= (address >> 7 & 7) << 4;
    unsigned char* to = shared_at(address, m.element_bytes, m.element_bytes, "tensor_copy");
    long column = copy.at[0] + static_cast<long>(i);
    if (from && within(column, m.size[0])) {
      memcpy(to, from + column * m.element_bytes, m.element_bytes);
      if (m.tf32) round_to_tf32(to);
    } else {
      memset(to, 0, m.element_bytes);
    }
  }
}

inline unsigned box_bytes(const TensorMapFields& m) { return m.box[0] * m.box[1] * m.element_bytes; }

inline void land(const TensorCopy& copy) {
  const TensorMapFields& m = copy.map;
  check_not_being_read(copy.to, box_bytes(m), "tensor_copy");
  Pixels pixel{m, copy.at[1], copy.at[2], copy.at[3]};
  for (unsigned row = 0; row < m.box[1]; row++) {
    const unsigned char* from;
    if (m.im2col) {
      from = pixel_address(m, pixel.w + copy.offset[0], pixel.h + copy.offset[1], pixel.n);
      pixel.advance();
    } else {
      from = pixel_address(m, copy.at[1] + static_cast<long>(row), 0, 0);
    }
    land_row(copy, copy.to + row * m.box[0] * m.element_bytes, from);
  }
  end_copy(copy.to, box_bytes(m));
  Mbarrier& barrier = mbarrier(copy.barrier, "tensor_copy");
  barrier.bytes -= box_bytes(m);
  end_phase_if_complete(barrier);
}

// Nobody can run: the oldest copy lands whose barrier is waited for. False when there is none.
inline bool land_awaited_copy() {
  Block& b = block();
  for (size_t i = 0; i < b.tensor_copies.size(); i++) {
    const unsigned* phase = &b.barriers[b.tensor_copies[i].barrier].phase;
    bool awaited = false;
    for (const Fiber& f : b.fibers) awaited |= !f.done && f.word == phase;
    if (!awaited) continue;
    TensorCopy copy = b.tensor_copies[i];
    b.tensor_copies.erase(b.tensor_copies.begin() + static_cast<long>(i));
    land(copy);
    return true;
  }
  return false;
}

inline void start(TensorCopy copy, const TensorMap* map, const char* who) {
  if (reinterpret_cast<uintptr_t>(map) % 64) fault("%s: the tensor map's address is not a multiple of 64", who);
  memcpy(&copy.map, map, sizeof copy.map);
  if (copy.map.magic != TENSOR_MAP_MAGIC) fault("%s: this is not a tensor map", who);
  if (copy.map.im2col != (who[12] == 'i')) fault("%s: the tensor map is of the other kind", who);
  // the swizzle counts rows from multiples of 1024 bytes, and wgmma's descriptors expect a tile to begin there
  shared_at(copy.to, box_bytes(copy.map), copy.map.swizzle_bytes == 128 ? 1024 : 128, who);
  shown_mbarrier(copy.barrier, nullptr, who);
  check_ordered(copy.to, box_bytes(copy.map), who, me());
  begin_copy(copy.to, box_bytes(copy.map), who);
  if (block().options.lazy) {
    block().tensor_copies.push_back(copy);
  } else {
    land(copy);
  }
}

}  // namespace emulator

void tensor_copy_2d(unsigned shared_to, const TensorMap* map, unsigned barrier, int x, int y) {
  emulator::start({{}, shared_to, barrier, {x, y, 0, 0}, {0, 0}}, map, "tensor_copy_2d");
}

void tensor_copy_im2col(unsigned shared_to, const TensorMap* map, unsigned barrier, int c, int w, int h, int n,
                               int offset_w, int offset_h) {
  emulator::TensorCopy copy{{}, shared_to, barrier, {c, w, h, n}, {offset_w, offset_h}};
  if (offset_w < 0 || offset_w > 255 || offset_h < 0 || offset_h > 255) {
    emulator::fault("tensor_copy_im2col: offsets (%d, %d), which are 0 to 255", offset_w, offset_h);
  }
  emulator::TensorMapFields fields;
  memcpy(&fields, map, sizeof fields);
  emulator::Pixels first{fields, w, h, n};
  if (!first.in_box()) emulator::fault("tensor_copy_im2col: pixel w = %d, h = %d is outside the bounding box", w, h);
  emulator::start(copy, map, "tensor_copy_im2col");
}
