// Reduction of small structs over a block, in a fixed tree: the same result in every run.
#pragma once

#include "cuda/launch.cuh"

namespace gaufuse {

template <typename Value>
__device__ __forceinline__ Value shuffle_down(Value value, int offset) {
  static_assert(sizeof(Value) % sizeof(int) == 0, "shuffled as 32-bit words");
  Value other;
  const int* source = reinterpret_cast<const int*>(&value);
  int* target = reinterpret_cast<int*>(&other);
#pragma unroll
  for (int word = 0; word < static_cast<int>(sizeof(Value) / sizeof(int)); ++word)
    target[word] = __shfl_down_sync(kFullWarp, source[word], offset);
  return other;
}

// Every thread gets merge(...) over all threads' values. `shared` holds BLOCK / 32 + 1 Values and
// may be used again at once: the function ends with a barrier after the last read.
template <int BLOCK, typename Value, typename Merge>
__device__ Value block_reduce(Value value, Value* shared, Merge merge) {
  constexpr int warps = BLOCK / 32;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value = merge(value, shuffle_down(value, offset));
  if (lane == 0) shared[warp] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    Value total = shared[0];
    for (int w = 1; w < warps; ++w) total = merge(total, shared[w]);
    shared[warps] = total;
  }
  __syncthreads();
  const Value total = shared[warps];
  __syncthreads();
  return total;
}

// The best remaining segment of a group: score descending, then the lower index.
struct Best {
  double score;
  int64_t index;  // -1: none
};

__device__ __forceinline__ Best no_segment() { return Best{0.0, -1}; }

__device__ __forceinline__ Best better(Best a, Best b) {
  if (a.index < 0) return b;
  if (b.index < 0) return a;
  const bool first = a.score > b.score || (a.score == b.score && a.index < b.index);
  return first ? a : b;
}

struct MergeBest {
  __device__ Best operator()(Best a, Best b) const { return better(a, b); }
};

// block_reduce to the best with one barrier, for loops of many rounds. `shared` holds 2 * (BLOCK /
// 32) values, used by turns: `turn` counts the rounds.
template <int BLOCK>
__device__ Best best_of_block(Best value, Best* shared, int turn) {
  constexpr int warps = BLOCK / 32;
  const int lane = threadIdx.x % 32;
  Best* row = shared + turn % 2 * warps;
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value = better(value, shuffle_down(value, offset));
  if (lane == 0) row[threadIdx.x / 32] = value;
  // Before a row is written again every thread has passed the next round's barrier, hence read it.
  __syncthreads();
  value = lane < warps ? row[lane] : no_segment();
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value = better(value, shuffle_down(value, offset));
  value.score = __shfl_sync(kFullWarp, value.score, 0);
  value.index = __shfl_sync(kFullWarp, value.index, 0);
  return value;
}

}  // namespace gaufuse
