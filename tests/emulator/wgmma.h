// wgmma: 64xN sums of four warps, both factors in shared memory. Lazily a warp's rows are computed when it waits for
// them, so that sums that are looked at too early are still old. None of these operations makes a warp wait for the
// other three (PTX's .sync is of a warp): each goes on by itself, and from the first one's wgmma until all four have
// waited for it nobody may write the factors.
#pragma once

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
template <class Element> inline void read_row(const Tile& tile, int row, float* values) {
  unsigned char bits[2][16];
  for (int half = 0; half < 2; half++) memcpy(bits[half], shared_at(tile.chunk(row, half), 16, 16, "wgmma"), 16);
  Element::values(bits, values, Wgmma<Element>::K);
}

// The 16 rows of one of the four warps.
template <class Element> inline void compute_wgmma(Product& product, int warp) {
  constexpr int K = Wgmma<Element>::K;
  const int N = product.columns, N8 = N / 8;
  Tile a_tile(product.a), b_tile(product.b);
  float a[K], row[K];
  if (product.factors.empty()) {
    product.factors.resize(static_cast<size_t>(K * N8));
    for (int j = 0; j < N; j++) {
      read_row<Element>(b_tile, j, row);
      for (int k = 0; k < K; k++) product.factors[static_cast<size_t>(k * N8 + j / 8)][j % 8] = row[k];
    }
  }
  for (int i = 0; i < 16; i++) {
    read_row<Element>(a_tile, warp * 16 + i, a);
    float* const* lanes = product.sums + warp * 32 + i % 8 * 4;  // four lanes share the row
    int half = i / 8 * 2;
    Row8 sums[256 / 8];
    for (int j = 0; j < N; j++) sums[j / 8][j % 8] = lanes[j % 8 / 2][j / 8 * 4 + half + j % 2];
    for (int k = 0; k < K; k++) {
      const Row8* b = product.factors.data() + k * N8;
      for (int j = 0; j < N8; j++) sums[j] += a[k] * b[j];
    }
    for (int j = 0; j < N; j++) lanes[j % 8 / 2][j / 8 * 4 + half + j % 2] = sums[j / 8][j % 8];
  }
}

inline void note_reads(Product& product) {
  Block& b = block();
  for (auto [descriptor, rows] : {std::pair{product.a, 64}, std::pair{product.b, product.columns}}) {
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

inline Products& products() { return block().products[me()->warp / 4]; }
inline WarpProducts& warp_products() { return block().warp_products[me()->warp]; }

struct WgmmaArguments {
  float* sums;
  unsigned long long a, b;
};

// This warp's next product: the first of the four warps begins it.
inline Product& next_product(const char* name, void (*compute)(Product&, int), int columns, unsigned long long a,
                             unsigned long long b) {
  Products& all = products();
  size_t place = warp_products().issued++ - all.first;
  if (place == all.in_flight.size()) {
    all.in_flight.push_back({compute, columns, a, b, {}, {}, {}, 0});
    note_reads(all.in_flight.back());
  }
  Product& product = all.in_flight[place];
  if (product.a != a || product.b != b) fault("%s: the threads' descriptors differ", name);
  if (product.compute != compute || product.columns != columns) fault("%s: another warp is at another wgmma", name);
  return product;
}

inline void wgmma(const char* name, void (*compute)(Product&, int), float* sums, int columns, unsigned long long a,
                  unsigned long long b) {
  if (me()->warp / 4 * 128 + 128 > block().threads) fault("%s needs four whole warps", name);
  WgmmaArguments mine{sums, a, b};
  whole_warp(name, &mine, [=](WgmmaArguments* const* threads) {
    for (int i = 0; i < 32; i++) {
      if (threads[i]->a != threads[0]->a || threads[i]->b != threads[0]->b) {
        fault("%s: the threads' descriptors differ", name);
      }
    }
    if (!warp_products().fenced) {
      fault("%s: no wgmma_fence since the block began or since wgmma_wait, so that threads may still use the sums", name);
    }
    Product& product = next_product(name, compute, columns, threads[0]->a, threads[0]->b);
    const int warp = me()->warp % 4;
    for (int i = 0; i < 32; i++) product.sums[warp * 32 + i] = threads[i]->sums;
    if (!block().options.lazy) product.compute(product, warp);
  });
}

// This warp's part of the oldest product that it has not finished.
inline void finish_product() {
  Products& all = products();
  Product& product = all.in_flight[warp_products().finished++ - all.first];
  if (block().options.lazy) product.compute(product, me()->warp % 4);
  if (++product.finished == 4) {
    for (unsigned chunk : product.chunks) block().being_read[chunk]--;
  }
  for (; !all.in_flight.empty() && all.in_flight.front().finished == 4; all.first++) all.in_flight.pop_front();
}

// Finishes all but the youngest `left` groups.
inline void finish_all_but(size_t left) {
  WarpProducts& warp = warp_products();
  warp.fenced = false;
  if (warp.groups.size() <= left) return;
  unsigned until = warp.groups[warp.groups.size() - 1 - left];
  while (warp.finished < until) finish_product();
}

void finish_products(unsigned groups_left) {
  whole_warp("wgmma_wait", static_cast<int*>(nullptr), [=](int* const*) { finish_all_but(groups_left); });
}

#define WGMMA(name, Element)                                                                   \
  void name(float* d, int columns, unsigned long long a, unsigned long long b) {               \
    wgmma(#name, compute_wgmma<Element>, d, columns, a, b);                                    \
  }
WGMMA(wgmma_float16, Half)
WGMMA(wgmma_bfloat16, Bfloat16)
WGMMA(wgmma_tf32, Tf32)
#undef WGMMA

}  // namespace emulator

void wgmma_fence() {
  emulator::whole_warp("wgmma_fence", static_cast<int*>(nullptr),
                       [](int* const*) { emulator::warp_products().fenced = true; });
}

void wgmma_commit() {
  emulator::whole_warp("wgmma_commit", static_cast<int*>(nullptr), [](int* const*) {
    emulator::WarpProducts& warp = emulator::warp_products();
    warp.groups.push_back(warp.issued);
  });
}
