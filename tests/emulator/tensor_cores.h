// ldmatrix and mma.m16n8k16 / m16n8k8: the last lane to come computes for its warp.
#pragma once

namespace emulator {

typedef float Row8 __attribute__((vector_size(32)));

template <class Element> struct MmaShape {
  static constexpr int PER_REGISTER = 4 / sizeof(typename Element::Bits);
  static constexpr int K = 8 * PER_REGISTER;  // a lane holds K/4 numbers of a row
};

// The e-th number of a register.
template <class Element> inline float unpack(unsigned bits, int e) {
  return Element::value(static_cast<typename Element::Bits>(bits >> (32 / MmaShape<Element>::PER_REGISTER * e % 32)));
}

struct MmaRegisters {
  float* c;
  const unsigned* a;
  unsigned b[2];
};

// Sums in the order of k. A tensor core's own order and width of adding are not published.
template <class Element> inline void compute_mma(MmaRegisters* const* lanes) {
  constexpr int K = MmaShape<Element>::K, PER = MmaShape<Element>::PER_REGISTER;
  float a[16][K];
  Row8 b[K], c[16];
  for (int lane = 0; lane < 32; lane++) {
    const MmaRegisters& r = *lanes[lane];
    int g = lane / 4, t = lane % 4;
    for (int e = 0; e < PER; e++) {
      for (int half = 0; half < 2; half++) {  // the low and the high half of K
        int k = half * K / 2 + t * PER + e;
        a[g][k] = unpack<Element>(r.a[2 * half], e);
        a[g + 8][k] = unpack<Element>(r.a[2 * half + 1], e);
        b[k][g] = unpack<Element>(r.b[half], e);
      }
    }
    for (int e = 0; e < 4; e++) c[g + e / 2 * 8][2 * t + e % 2] = r.c[e];
  }
  for (int i = 0; i < 16; i++) {
    for (int k = 0; k < K; k++) c[i] += a[i][k] * b[k];
  }
  for (int lane = 0; lane < 32; lane++) {
    for (int e = 0; e < 4; e++) lanes[lane]->c[e] = c[lane / 4 + e / 2 * 8][lane % 4 * 2 + e % 2];
  }
}

template <class Element>
inline void mma(const char* name, float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
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

}  // namespace emulator

template <bool transpose> inline void load_matrix_x4(unsigned (&r)[4], unsigned address) {
  if (emulator::warp_size() < 32) emulator::fault("load_matrix_x4 needs a whole warp");
  emulator::MatrixRow mine{address, r};
  emulator::whole_warp("load_matrix_x4", &mine, emulator::load_matrices<transpose>);
}

inline void mma_float16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  emulator::mma<emulator::Half>("mma_float16", c, a, b0, b1);
}

inline void mma_bfloat16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  if (__CUDA_ARCH__ < 800) emulator::fault("mma_bfloat16 begins with sm_80");
  emulator::mma<emulator::Bfloat16>("mma_bfloat16", c, a, b0, b1);
}

inline void mma_tf32(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  if (__CUDA_ARCH__ < 800) emulator::fault("mma_tf32 begins with sm_80");
  emulator::mma<emulator::Tf32>("mma_tf32", c, a, b0, b1);
}
