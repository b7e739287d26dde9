// Arguments as CUDA's launch takes them; and KERNEL(name), which exports name__launch for Python.
#pragma once
#include <type_traits>
#include <utility>

namespace emulator {

// tests/emulator/emulator.py declares the same fields.
struct Call {
  unsigned grid[3], block[3];
  unsigned shared_bytes;
  int lazy, order;
  unsigned seed;
  int planted;
  int pdl;
  int cpu_threads;
  int argument_count;
  const void* const* arguments;
  const unsigned* argument_bytes;
  const char* argument_kinds;  // NumPy's letters: u, i, f, V
};

struct Parameter {
  unsigned bytes;
  const char* kinds;  // that it accepts, a driver's name for it first
};

struct Kernel {
  void (*call)(const void* call);
  const Parameter* parameters;
  size_t parameter_count;
  const void* (*thread_local_storage)();  // an address within it, on the calling thread: its __shared__ arrays are there
};

int launch(const Call& call, const Kernel& kernel, char* message, size_t message_bytes);

template <class T> constexpr const char* accepted_kinds() {
  if (std::is_pointer_v<T>) return "u";
  if (std::is_floating_point_v<T>) return "f";
  if (std::is_integral_v<T>) return "iu";
  return "V";
}

template <class T> inline std::remove_cv_t<T> load_argument(const void* p) {
  std::remove_cv_t<T> value;
  memcpy(static_cast<void*>(&value), p, sizeof value);
  return value;
}

template <auto kernel, class... T, size_t... I>
inline void call(const Call& call, void (*)(T...), std::index_sequence<I...>) {
  kernel(load_argument<T>(call.arguments[I])...);
}

static thread_local char in_thread_local_storage;

template <auto kernel, class... T> inline Kernel describe(void (*)(T...)) {
  static const Parameter parameters[] = {
      {sizeof(std::remove_cv_t<T>), accepted_kinds<std::remove_cv_t<T>>()}..., {0, nullptr}};
  auto call_it = [](const void* p) {
    call<kernel>(*static_cast<const Call*>(p), kernel, std::index_sequence_for<T...>{});
  };
  auto storage = []() -> const void* { return &in_thread_local_storage; };
  return {call_it, parameters, sizeof...(T), storage};
}

// What a driver knows of a kernel's parameters: each one's bytes, and the first of NumPy's letters for it.
inline int tell_parameters(const Kernel& kernel, unsigned* bytes, char* kinds) {
  for (size_t i = 0; i < kernel.parameter_count; i++) {
    bytes[i] = kernel.parameters[i].bytes;
    kinds[i] = kernel.parameters[i].kinds[0];
  }
  return static_cast<int>(kernel.parameter_count);
}

}  // namespace emulator

// Returns 0, or 1 with a message.
#define KERNEL(name)                                                                                           \
  extern "C" int name##__launch(const emulator::Call* call, char* message, size_t message_bytes) {             \
    return emulator::launch(*call, emulator::describe<name>(name), message, message_bytes);                    \
  }                                                                                                            \
  extern "C" int name##__parameters(unsigned* bytes, char* kinds) {                                            \
    return emulator::tell_parameters(emulator::describe<name>(name), bytes, kinds);                            \
  }
