// What threads do together: the block's barrier, operations of a whole warp.
#pragma once

namespace emulator {

// `count` threads meet, the last to come does `operation` for all of them, then all go on.
template <class Argument, class Operation>
inline void together(Meeting& meeting, int slot, unsigned count, const char* name, Argument* argument,
                     Operation operation) {
  if (meeting.arrived && meeting.operation != name) {
    fault("threads of one warp are at different operations: some at %s, this one at %s",
          meeting.operation, name);
  }
  meeting.operation = name;
  meeting.arguments[slot] = argument;
  if (++meeting.arrived < count) {
    wait_while(&meeting.generation, meeting.generation, name);
    return;
  }
  operation(reinterpret_cast<Argument* const*>(meeting.arguments));
  meeting.arrived = 0;
  meeting.generation++;
  perhaps_pause();
}

inline int warp_size() { return min(32, block().threads - me()->warp * 32); }

template <class Argument, class Operation>
inline void whole_warp(const char* name, Argument* argument, Operation operation) {
  unsigned lanes = static_cast<unsigned>(warp_size());
  together(block().warp_meetings[me()->warp], me()->lane, lanes, name, argument, operation);
}

// The block's barrier counts the threads that have not returned.
inline void release_everybody_if_complete(Block& b) {
  if (b.alive && b.everybody.arrived == static_cast<unsigned>(b.alive)) {
    b.everybody.arrived = 0;
    b.everybody.generation++;
  }
}

int lane() { return me()->lane; }

// Each lane gets the value of its source, if there is one, in the place of its own.
void shuffle(const char* name, void* value, unsigned bytes, int source_lane) {
  struct Exchange {
    void* value;
    unsigned char given[16];
    int source;
  } mine{value, {}, source_lane};
  if (bytes > sizeof mine.given) fault("%s: a value of %u bytes", name, bytes);
  memcpy(mine.given, value, bytes);
  int lanes = warp_size();
  whole_warp(name, &mine, [lanes, bytes](Exchange* const* all) {
    for (int lane = 0; lane < lanes; lane++) {
      int from = all[lane]->source;
      if (from >= 0 && from < lanes) memcpy(all[lane]->value, all[from]->given, bytes);
    }
  });
}

}  // namespace emulator

void __syncthreads() {
  emulator::Block& b = emulator::block();
  emulator::publish_writes(*emulator::me());
  unsigned generation = b.everybody.generation;
  b.everybody.arrived++;
  emulator::release_everybody_if_complete(b);
  if (b.everybody.generation == generation) {
    emulator::wait_while(&b.everybody.generation, generation, "__syncthreads");
  } else {
    emulator::perhaps_pause();
  }
}

void warp_sync() {
  emulator::publish_writes(*emulator::me());
  emulator::whole_warp("warp_sync", static_cast<int*>(nullptr), [](int* const*) {});
}

void __trap() { emulator::fault("__trap() was reached"); }
