// Teams of threads that work on one group: a warp, or a block of warps. Everything is done in a
// fixed tree, so that every run gives the same bits.
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

// The first lane's value.
template <typename Value>
__device__ __forceinline__ Value broadcast(Value value) {
  static_assert(sizeof(Value) % sizeof(int) == 0, "shuffled as 32-bit words");
  int* words = reinterpret_cast<int*>(&value);
#pragma unroll
  for (int word = 0; word < static_cast<int>(sizeof(Value) / sizeof(int)); ++word)
    words[word] = __shfl_sync(kFullWarp, words[word], 0);
  return value;
}

// THREADS threads, a power of two from 32: warps of one block each, or the block. Value: what is
// reduced. All threads of a team make the same calls.
template <int THREADS, typename Value>
class Team {
 public:
  static constexpr int size = THREADS;
  static constexpr int warps = THREADS / 32;

  // shared: 2 * warps Values, used by turns; not touched by a team of one warp.
  __device__ explicit Team(Value* shared) : shared_(shared) {}

  __device__ int rank() const { return static_cast<int>(threadIdx.x) % THREADS; }

  // Orders the team's accesses to memory.
  __device__ void sync() const {
    if (warps == 1)
      __syncwarp();
    else
      __syncthreads();
  }

  // merge(...) over the values of all threads, for all threads: one barrier, none for a warp.
  template <typename Merge>
  __device__ Value reduce(Value value, Merge merge) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2)
      value = merge(value, shuffle_down(value, offset));
    if (warps > 1) {
      const int lane = threadIdx.x % 32;
      // Before a row is written again every thread has passed the next barrier, hence read it.
      Value* row = shared_ + turn_++ % 2 * warps;
      if (lane == 0) row[rank() / 32] = value;
      __syncthreads();
      value = row[lane % warps];
#pragma unroll
      for (int offset = warps / 2; offset > 0; offset /= 2)
        value = merge(value, shuffle_down(value, offset));
    }
    return broadcast(value);
  }

  // The sum of the values of all threads before this one, and `total` that of all.
  __device__ Value exclusive_sum(Value value, Value& total) {
    const int lane = threadIdx.x % 32;
    Value sum = value;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const Value other = __shfl_up_sync(kFullWarp, sum, offset);
      if (lane >= offset) sum += other;
    }
    total = __shfl_sync(kFullWarp, sum, 31);
    Value before = sum - value;
    if (warps > 1) {
      Value* row = shared_ + turn_++ % 2 * warps;
      if (lane == 0) row[rank() / 32] = total;
      __syncthreads();
      total = 0;
      for (int warp = 0; warp < warps; ++warp) {
        if (warp == rank() / 32) before += total;
        total += row[warp];
      }
    }
    return before;
  }

 private:
  Value* shared_;
  unsigned turn_ = 0;
};

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

}  // namespace gaufuse
