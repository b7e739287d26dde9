// A ceiling: a node of a graph that does next to nothing, so that a chain of them measures the gap between two.
//
//   x[0] = x[0] + 1
//
// Launched with programmatic dependent launch it begins while the node ahead still runs, and waits for what that one
// writes; launched plainly both instructions pass at once. Grid 1, block 32.
//
// Architectures: sm_90a
// Elements: none
// Expects: all sm_90a: ACQBULK PREEXIT griddepcontrol.wait griddepcontrol.launch_dependents
#include "../common/hopper.cuh"

extern "C" __global__ void node(unsigned* x) {
  let_next_launch_begin();
  wait_for_launch_ahead();
  if (threadIdx.x == 0) x[0] = x[0] + 1;
}
KERNEL(node)
