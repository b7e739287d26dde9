// Runs CUDA source text on the CPU: g++ -std=c++17 -include emulator.h -x c++ kernel.cu, linked to machine.cpp's library
//
// The kernel's text is the very one that NVRTC compiles; only kernels/common/{intrinsics,hopper,tickets}.cuh, whose
// bodies are PTX, are replaced by what is below. A block's threads are fibers that take turns on one thread of the CPU, so that a
// run can be repeated exactly; which of them runs first, and when an asynchronous copy lands, is for the caller to
// choose within what CUDA allows. What CUDA forbids ends the launch with a message.
//
// This is all that is compiled with every kernel: no header of the C++ library. The rest is compiled once.
//
//   cuda_names.h     CUDA's keywords, vector types and mathematics
//   numbers.h        half, bfloat16, tf32
//   seen.h           what a kernel sees of the block that runs it
//   device.h         what a kernel calls: copies, barriers, tensor cores, ...
//   kernel.h         arguments as CUDA's launch takes them; what Python calls
#pragma once
#define NPRESNET_EMULATOR 1

#include "cuda_names.h"
#include "numbers.h"
#include "seen.h"
#include "device.h"
#include "kernel.h"
