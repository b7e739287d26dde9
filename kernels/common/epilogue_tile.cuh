// The epilogue of the tensor-core kernels:  y = relu(sums + bias + residual), cast, in 16-byte accesses.
//
// mma leaves a thread two neighbouring channels of a row: stored from there, a warp would touch 8 rows with 16 bytes
// (of half) each. So the sums pass through shared memory, and a thread comes back with 16 bytes' worth of channels of
// one row: residual and y are then read and written in whole 128-byte lines. A pointwise layer is bound by exactly
// these bytes.
//
// Bank conflicts, with g = lane / 4 the row and t = lane % 4 the pair of columns that mma gives a lane:
//   writing float2, a half warp (g = 0..3 or 4..7): PITCH is 8 mod 32, so that 4 rows begin 8 banks apart
//   reading float4, a quarter warp along a row: with 8 channels a thread, the first halves of all chunks of 8 lie
//   together and the second halves HALF_PITCH further, or every other 16 bytes would be skipped and banks asked twice
#pragma once
#include "activation.cuh"
#include "conv.cuh"
#include "elements.cuh"

#if ELEMENT == FLOAT16 || ELEMENT == BFLOAT16
typedef uint4 Packed;
#else
typedef float4 Packed;
#endif

__device__ __forceinline__ void unpack(const Packed& packed, float (&values)[VECTOR]) {
#if ELEMENT == FLOAT16 || ELEMENT == BFLOAT16
  const unsigned words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    values[2 * i] = to_float((Stored)(words[i] & 0xffffu));
    values[2 * i + 1] = to_float((Stored)(words[i] >> 16));
  }
#else
  values[0] = packed.x, values[1] = packed.y, values[2] = packed.z, values[3] = packed.w;
#endif
}

__device__ __forceinline__ Packed pack(const float (&values)[VECTOR]) {
#if ELEMENT == FLOAT16 || ELEMENT == BFLOAT16
  unsigned words[4];
#pragma unroll
  for (int i = 0; i < 4; i++)
    words[i] = (unsigned)from_float(values[2 * i]) | (unsigned)from_float(values[2 * i + 1]) << 16;
  return make_uint4(words[0], words[1], words[2], words[3]);
#else
  return make_float4(values[0], values[1], values[2], values[3]);
#endif
}

// The epilogue's arrays: residual (or null) and y are (positions, O), row by row, bias is (O,); each begins on 16
// bytes.
struct Outputs {
  const float* bias;
  const Stored* residual;
  Stored* y;
  int O;
  int activation;  // NONE or RELU
};

// A tile of ROWS positions x COLUMNS channels of float32 sums in shared memory, written out by THREADS threads.
template <int ROWS, int COLUMNS, int THREADS>
struct StagedTile {
  static constexpr int HALVES = VECTOR / 4;                           // float4 reads for one 16-byte store
  static constexpr int HALF_PITCH = COLUMNS / HALVES + 4;             // floats
  static constexpr int PITCH = COLUMNS + 8;                           // floats from row to row
  static constexpr int BYTES = ROWS * PITCH * 4;
  static constexpr int ROW_THREADS = COLUMNS / VECTOR;                // threads that share a row
  static constexpr int PASS_ROWS = THREADS / ROW_THREADS;
  static constexpr int PASSES = ROWS / PASS_ROWS;
  static_assert(COLUMNS % 32 == 0 && THREADS % ROW_THREADS == 0 && ROWS % PASS_ROWS == 0, "every thread the same work");

  const Outputs& out;
  float* staged;    // in shared memory, on 16 bytes
  int row, column;  // this thread's first row, and first column of VECTOR
  int channel, last;  // that column's channel, and the channel after the tile's last
  bool whole;         // rows and tiles of residual and y begin on 16 bytes
  float bias[VECTOR];

  __device__ __forceinline__ StagedTile(const Outputs& out_, float* staged_, int thread, int first, int last_)
      : out(out_), staged(staged_), row(first_row(thread)), column(thread % ROW_THREADS * VECTOR),
        channel(first + thread % ROW_THREADS * VECTOR), last(last_), whole((out_.O | first | last_) % VECTOR == 0) {
    if (channel >= last || !whole) return;
#pragma unroll
    for (int e = 0; e < VECTOR; e += 4) {
      const float4 four = *(const float4*)(out.bias + channel + e);
      bias[e] = four.x, bias[e + 1] = four.y, bias[e + 2] = four.z, bias[e + 3] = four.w;
    }
  }

  // Four threads to a row: a quarter warp reads two rows. Those two apart begin 16 banks apart, neighbours only 8.
  static __device__ __forceinline__ int first_row(int thread) {
    const int i = thread / ROW_THREADS;
    return ROW_THREADS == 4 ? i + (i % 4 == 1) - (i % 4 == 2) : i;
  }

  // Where a sum lies, in floats.
  static __device__ __forceinline__ int place(int row, int column) {
    return row * PITCH + column / VECTOR * 4 + column / 4 % HALVES * HALF_PITCH + column % 4;
  }

  // One m16n8 accumulator, at the tile's row and column (a multiple of 8).
  __device__ __forceinline__ void put(int at_row, int at_column, int lane, const float (&sums)[4]) const {
    float* to = staged + place(lane / 4, lane % 4 * 2) + at_row * PITCH + at_column / VECTOR * 4;
    *(float2*)to = make_float2(sums[0], sums[1]);
    *(float2*)(to + 8 * PITCH) = make_float2(sums[2], sums[3]);
  }

  // The residual of everything that this thread will store: asked for early, it arrives while others still multiply.
  // position_of(row) is the output position of a row of this tile, or -1.
  template <class PositionOf>
  __device__ __forceinline__ void ask_residual(Packed (&residual)[PASSES], PositionOf position_of) const {
    if (!out.residual || !whole || channel >= last) return;
#pragma unroll
    for (int pass = 0; pass < PASSES; pass++) {
      const int position = position_of(row + pass * PASS_ROWS);
      if (position >= 0) residual[pass] = *(const Packed*)(out.residual + (size_t)position * out.O + channel);
    }
  }

  // After all threads of the tile have put their sums and met.
  template <class PositionOf>
  __device__ __forceinline__ void store(const Packed (&residual)[PASSES], PositionOf position_of) const {
    if (channel >= last) return;
    if (!whole) return store_ragged(position_of);
#pragma unroll
    for (int pass = 0; pass < PASSES; pass++) {
      const int at_row = row + pass * PASS_ROWS, position = position_of(at_row);
      if (position < 0) continue;
      float values[VECTOR];
      take(at_row, values);
#pragma unroll
      for (int e = 0; e < VECTOR; e++) values[e] += bias[e];
      if (out.residual) {
        float added[VECTOR];
        unpack(residual[pass], added);
#pragma unroll
        for (int e = 0; e < VECTOR; e++) values[e] += added[e];
      }
#pragma unroll
      for (int e = 0; e < VECTOR; e++) values[e] = none_or_relu(values[e], out.activation);
      *(Packed*)(out.y + (size_t)position * out.O + channel) = pack(values);
    }
  }

 private:
  __device__ __forceinline__ void take(int at_row, float (&values)[VECTOR]) const {
#pragma unroll
    for (int half = 0; half < HALVES; half++) {
      const float4 four = *(const float4*)(staged + place(at_row, column + 4 * half));
      values[4 * half] = four.x, values[4 * half + 1] = four.y;
      values[4 * half + 2] = four.z, values[4 * half + 3] = four.w;
    }
  }

  // Channels that are not a multiple of a 16-byte access: one at a time.
  template <class PositionOf>
  __device__ __forceinline__ void store_ragged(PositionOf position_of) const {
#pragma unroll 1
    for (int pass = 0; pass < PASSES; pass++) {
      const int at_row = row + pass * PASS_ROWS, position = position_of(at_row);
      if (position < 0) continue;
#pragma unroll 1
      for (int e = 0; e < VECTOR && channel + e < last; e++) {
        const size_t at = (size_t)position * out.O + channel + e;
        float value = staged[place(at_row, column + e)] + out.bias[channel + e];
        if (out.residual) value += to_float(out.residual[at]);
        out.y[at] = from_float(none_or_relu(value, out.activation));
      }
    }
  }
};
