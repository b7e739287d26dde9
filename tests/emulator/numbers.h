// Narrow numbers: half, bfloat16 and tf32, rounded as PTX's cvt rounds them. A NaN becomes cvt's NaN, 0x7FFF.
#pragma once

inline unsigned short float_to_half(float value) {
  if (value != value) return 0x7FFF;
  return emulator::bit_cast<unsigned short>(static_cast<_Float16>(value));
}

inline float half_to_float(unsigned short half) { return static_cast<float>(emulator::bit_cast<_Float16>(half)); }

inline unsigned short float_to_bfloat16(float value) {
  if (value != value) return 0x7FFF;
  unsigned bits = emulator::bit_cast<unsigned>(value);
  return static_cast<unsigned short>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

inline float bfloat16_to_float(unsigned short bfloat) { return emulator::bit_cast<float>(static_cast<unsigned>(bfloat) << 16); }

// cvt.rna: ties go away from zero, as adding half of the last place does to sign and magnitude alike
inline unsigned float_to_tf32(float value) {
  if (value != value) return 0x7FFFFFFF;
  unsigned bits = emulator::bit_cast<unsigned>(value);
  bool infinite = (bits & 0x7F800000) == 0x7F800000;
  return infinite ? bits : (bits + 0x1000) & 0xFFFFE000;
}

namespace emulator {

// What a tensor core makes of the bits that it is given.
struct Half {
  typedef unsigned short Bits;
  static float value(Bits bits) { return half_to_float(bits); }
};
struct Bfloat16 {
  typedef unsigned short Bits;
  static float value(Bits bits) { return bfloat16_to_float(bits); }
};
struct Tf32 {  // the last 13 bits are not looked at
  typedef unsigned Bits;
  static float value(Bits bits) { return bit_cast<float>(bits & 0xFFFFE000); }
};

}  // namespace emulator
