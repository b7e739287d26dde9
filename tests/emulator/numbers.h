// Narrow numbers: half, bfloat16 and tf32, rounded as PTX's cvt rounds them. A NaN becomes cvt's NaN, 0x7FFF.
#pragma once

inline unsigned short float_to_half(float value) {
  if (value != value) return 0x7FFF;
  return emulator::bit_cast<unsigned short>(static_cast<_Float16>(value));
}

inline float half_to_float(unsigned short half) {
  return static_cast<float>(emulator::bit_cast<_Float16>(half));
}

inline unsigned short float_to_bfloat16(float value) {
  if (value != value) return 0x7FFF;
  unsigned bits = emulator::bit_cast<unsigned>(value);
  return static_cast<unsigned short>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

inline float bfloat16_to_float(unsigned short bfloat) {
  return emulator::bit_cast<float>(static_cast<unsigned>(bfloat) << 16);
}

// max.NaN: +0 is larger than -0
inline float larger_or_nan(float a, float b) {
  if (a != a || b != b) return emulator::bit_cast<float>(0x7FFFFFFFu);
  return a == 0 && b == 0 ? a + b : a > b ? a : b;
}

// cvt.rna: ties go away from zero, as adding half of the last place does to sign and magnitude alike
inline unsigned float_to_tf32(float value) {
  if (value != value) return 0x7FFFFFFF;
  unsigned bits = emulator::bit_cast<unsigned>(value);
  bool infinite = (bits & 0x7F800000) == 0x7F800000;
  return infinite ? bits : (bits + 0x1000) & 0xFFFFE000;
}
