// The best of a block's segments, for kernels that give a group to a block.
#pragma once

#include "cuda/team.cuh"

namespace gaufuse {

// Every thread gets the best over all threads' values, with one barrier, for loops of many rounds.
// `shared` holds 2 * (BLOCK / 32) values, used by turns: `turn` counts the rounds.
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
