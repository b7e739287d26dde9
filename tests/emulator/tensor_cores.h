// ldmatrix and mma.m16n8k16 / m16n8k8: the last lane to come computes for its warp.
#pragma once

namespace emulator {

template <class Element> struct Mma {
  static constexpr int PER_REGISTER = 4 / sizeof(typename Element::Bits);
  static constexpr int K = 8 * PER_REGISTER;
};

struct MmaRegisters {
  float* c;
  const unsigned* a;
  unsigned b[2];
};

// Sums in the order of k. A tensor core's own order and width of adding are not published.
template <class Element> inline void compute_mma(MmaRegisters* const* lanes) {
  constexpr int K = Mma<Element>::K, PER = Mma<Element>::PER_REGISTER;
  alignas(32) unsigned a_bits[16][K / PER], b_bits[8][K / PER];
  alignas(32) float a[16][K], b_rows[8][K], c[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const MmaRegisters& r = *lanes[lane];
    int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; half++) {  // the low and the high half of K, four registers each
      a_bits[g][4 * half + t] = r.a[2 * half];
      a_bits[g + 8][4 * half + t] = r.a[2 * half + 1];
      b_bits[g][4 * half + t] = r.b[half];
    }
    memcpy(&c[g][2 * t], r.c, 8);
    memcpy(&c[g + 8][2 * t], r.c + 2, 8);
  }
  Element::values(a_bits, &a[0][0], 16 * K);
  Element::values(b_bits, &b_rows[0][0], 8 * K);
  Row8 sums[16];
  memcpy(sums, c, sizeof c);
  for (int k = 0; k < K; k++) {
    Row8 b;
    for (int j = 0; j < 8; j++) b[j] = b_rows[j][k];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) sums[i] += a[i][k] * b;
  }
  memcpy(c, sums, sizeof c);
  for (int lane = 0; lane < 32; lane++) {
    memcpy(lanes[lane]->c, &c[lane / 4][lane % 4 * 2], 8);
    memcpy(lanes[lane]->c + 2, &c[lane / 4 + 8][lane % 4 * 2], 8);
  }
}

template <class Element>
inline void mma(const char* name, float* c, const unsigned* a, unsigned b0, unsigned b1) {
  if (warp_size() < 32) fault("%s needs a whole warp", name);
  MmaRegisters mine{c, a, {b0, b1}};
  whole_warp(name, &mine, compute_mma<Element>);
}

struct MatrixRow {
  unsigned address;
  unsigned* r;
};

template <bool transpose> inline void load_matrices(MatrixRow* const* lanes) {
  for (int matrix = 0; matrix < 4; matrix++) {
    unsigned short rows[8][8];
    for (int i = 0; i < 8; i++) {
      unsigned address = lanes[8 * matrix + i]->address;
      memcpy(rows[i], shared_at(address, 16, 16, "load_matrix_x4"), 16);
      check_not_being_written(address, 16, "load_matrix_x4");
    }
    for (int lane = 0; lane < 32; lane++) {
      int i = lane / 4, j = lane % 4 * 2;
      unsigned low = transpose ? rows[j][i] : rows[i][j], high = transpose ? rows[j + 1][i] : rows[i][j + 1];
      lanes[lane]->r[matrix] = low | high << 16;
    }
  }
}

void mma_float16(float* c, const unsigned* a, unsigned b0, unsigned b1) { mma<Half>("mma_float16", c, a, b0, b1); }
void mma_bfloat16(float* c, const unsigned* a, unsigned b0, unsigned b1) { mma<Bfloat16>("mma_bfloat16", c, a, b0, b1); }
void mma_tf32(float* c, const unsigned* a, unsigned b0, unsigned b1) { mma<Tf32>("mma_tf32", c, a, b0, b1); }

void load_matrix_x4(unsigned* r, unsigned address, bool transpose) {
  if (warp_size() < 32) fault("load_matrix_x4 needs a whole warp");
  MatrixRow mine{address, r};
  whole_warp("load_matrix_x4", &mine, transpose ? load_matrices<true> : load_matrices<false>);
}

}  // namespace emulator
