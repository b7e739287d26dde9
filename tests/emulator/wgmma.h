// wgmma: 64xN sums of four warps, both factors in shared memory. Lazily the product is computed when it is waited for,
// so what was overwritten too early goes into it, and sums that are looked at too early are still old.
#pragma once
#include <algorithm>

namespace emulator {

// A descriptor of a K-major tile: address, the two strides between 8-row blocks, the swizzle.
struct Tile {
  unsigned address, leading, stride;
  bool swizzled;

  explicit Tile(unsigned long long bits)
      : address(field(bits, 0)), leading(field(bits, 16)), stride(field(bits, 32)), swizzled(bits >> 62 == 1) {
    if (bits >> 62 > 1) fault("wgmma: only the 128-byte swizzle and none are emulated");
    if (bits >> 49 & 7) fault("wgmma: the descriptor's base offset must be 0, its tile begins at a multiple of 1024");
  }
  static unsigned field(unsigned long long bits, int at) { return static_cast<unsigned>(bits >> at & 0x3FFF) << 4; }

  // Where the 16-byte chunk of that row lies.
  unsigned chunk(int row, int index) const {
    unsigned r = static_cast<unsigned>(row), i = static_cast<unsigned>(index);
    if (!swizzled) return address + r / 8 * stride + i * leading + r % 8 * 16;
    unsigned linear = address + r / 8 * stride + r % 8 * 128 + i * 16;
    return linear ^ (linear >> 7 & 7) << 4;
  }
};

template <class Element> struct Wgmma {
  static constexpr int K = 32 / sizeof(typename Element::Bits);  // two chunks of a row
};

// Row `row` of a tile as floats.
template <class Element> OWN inline void read_row(const Tile& tile, int row, float* values) {
  unsigned char bits[2][16];
  for (int half = 0; half < 2; half++) memcpy(bits[half], shared_at(tile.chunk(row, half), 16, 16, "wgmma"), 16);
  Element::values(bits, values, Wgmma<Element>::K);
}

template <class Element, int N> OWN inline void compute_wgmma(const Product& product) {
  constexpr int K = Wgmma<Element>::K;
  Tile a_tile(product.a), b_tile(product.b);
  float a[K], b[K][N], row[K];
  for (int j = 0; j < N; j++) {
    read_row<Element>(b_tile, j, row);
    for (int k = 0; k < K; k++) b[k][j] = row[k];
  }
  for (int i = 0; i < 64; i++) {
    read_row<Element>(a_tile, i, a);
    float* const* lanes = product.sums + i / 16 * 32 + i % 8 * 4;  // four lanes share the row
    int half = i / 8 % 2 * 2;
    float sums[N];
    for (int j = 0; j < N; j++) sums[j] = lanes[j % 8 / 2][j / 8 * 4 + half + j % 2];
    for (int k = 0; k < K; k++) {
      for (int j = 0; j < N; j++) sums[j] += a[k] * b[k][j];
    }
    for (int j = 0; j < N; j++) lanes[j % 8 / 2][j / 8 * 4 + half + j % 2] = sums[j];
  }
}

inline void note_reads(Product& product, int columns) {
  Block& b = block();
  for (auto [descriptor, rows] : {std::pair{product.a, 64}, std::pair{product.b, columns}}) {
    Tile tile(descriptor);
    for (int chunk = 0; chunk < rows * 2; chunk++) {
      unsigned address = tile.chunk(chunk / 2, chunk % 2);
      shared_at(address, 16, 16, "wgmma");
      check_not_being_written(address, 16, "wgmma");
      check_ordered(address, 16, "wgmma");
      b.being_read[address / CHUNK]++;
      product.chunks.push_back(address / CHUNK);
    }
  }
}

inline void finish(Product& product) {
  if (!product.computed) product.compute(product);
  for (unsigned chunk : product.chunks) block().being_read[chunk]--;
}

struct WgmmaArguments {
  float* sums;
  unsigned long long a, b;
};

template <class Element, int N>
inline void wgmma(const char* name, float* sums, unsigned long long a, unsigned long long b) {
  static_assert(N % 8 == 0 && 8 <= N && N <= 256, "8 to 256 columns, a multiple of 8");
  WgmmaArguments mine{sums, a, b};
  whole_warpgroup(name, &mine, [name](WgmmaArguments* const* threads) {
    Product product{compute_wgmma<Element, N>, {}, threads[0]->a, threads[0]->b, {}, false, false, 0};
    for (int i = 0; i < 128; i++) {
      if (threads[i]->a != product.a || threads[i]->b != product.b) fault("%s: the threads' descriptors differ", name);
      product.sums[i] = threads[i]->sums;
    }
    if (!block().sums_fenced[me()->id / 128]) {
      fault("%s: no wgmma_fence since the block began or since wgmma_wait, so that threads may still use the sums", name);
    }
    note_reads(product, N);
    if (!block().options.lazy) {
      product.compute(product);
      product.computed = true;
    }
    block().products[me()->id / 128].push_back(std::move(product));
  });
}

inline void commit_products() {
  int group = me()->id / 128;
  int number = block().committed_groups[group]++;
  for (Product& product : block().products[group]) {
    if (!product.committed) product.group = number;
    product.committed = true;
  }
}

// Finishes all but the youngest `left` groups.
inline void finish_products(int left) {
  int group = me()->id / 128;
  block().sums_fenced[group] = false;
  auto& products = block().products[group];
  int before = block().committed_groups[group] - left;
  auto first_kept = std::find_if(products.begin(), products.end(),
                                 [&](const Product& p) { return !p.committed || p.group >= before; });
  for (auto p = products.begin(); p != first_kept; p++) finish(*p);
  products.erase(products.begin(), first_kept);
}

}  // namespace emulator

inline void wgmma_fence() {
  emulator::whole_warpgroup("wgmma_fence", static_cast<int*>(nullptr),
                            [](int* const*) { emulator::block().sums_fenced[emulator::me()->id / 128] = true; });
}

inline void wgmma_commit() {
  emulator::whole_warpgroup("wgmma_commit", static_cast<int*>(nullptr),
                            [](int* const*) { emulator::commit_products(); });
}

template <int N> inline void wgmma_results(float (&)[N]) {}

template <int N> inline void wgmma_wait() {
  emulator::whole_warpgroup("wgmma_wait", static_cast<int*>(nullptr),
                            [](int* const*) { emulator::finish_products(N); });
}

template <int N> inline void wgmma_float16(float (&d)[N / 2], unsigned long long a, unsigned long long b) {
  emulator::wgmma<emulator::Half, N>("wgmma_float16", d, a, b);
}

template <int N> inline void wgmma_bfloat16(float (&d)[N / 2], unsigned long long a, unsigned long long b) {
  emulator::wgmma<emulator::Bfloat16, N>("wgmma_bfloat16", d, a, b);
}

template <int N> inline void wgmma_tf32(float (&d)[N / 2], unsigned long long a, unsigned long long b) {
  emulator::wgmma<emulator::Tf32, N>("wgmma_tf32", d, a, b);
}
