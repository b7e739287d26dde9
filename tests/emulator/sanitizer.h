// What g++ -fsanitize=bounds,alignment calls when it finds something: here it ends the launch, with the kernel's own
// file and line. Indices are checked against an array's declared size; if asked for, float4 and the like against 16.
#pragma once

namespace emulator {

struct SourceLine {
  const char* file;
  unsigned line, column;
};

struct MisalignedAccess {
  SourceLine where;
  const void* type;
  unsigned char log_alignment, kind;
};

struct IndexOutOfBounds {
  SourceLine where;
  const void *array_type, *index_type;
};

}  // namespace emulator

extern "C" {
void __ubsan_handle_type_mismatch_v1(const emulator::MisalignedAccess* found,
                                                                  uintptr_t address) {
  emulator::fault("%s:%u: address %#zx is not a multiple of %d", found->where.file, found->where.line, address,
                  1 << found->log_alignment);
}

void __ubsan_handle_out_of_bounds(const emulator::IndexOutOfBounds* found,
                                                              uintptr_t index) {
  emulator::fault("%s:%u: index %zd is outside of the array", found->where.file, found->where.line,
                  static_cast<intptr_t>(index));
}
}
