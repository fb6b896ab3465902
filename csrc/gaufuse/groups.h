// Ragged batches: G groups padded to a common size, `counts[g]` of which are valid.
#pragma once

#include <cstdint>

#include "gaufuse/host_device.h"

namespace gaufuse {

// CUDA: groups of at most so many segments are kept in registers. For larger ones there are so many
// blocks, which work in a workspace; where a batch has no room for such a group there is none.
constexpr int64_t kOnChipSegments = 2048;
constexpr int64_t kLargeGroupBlocks = 256;

// Segments of that workspace: no more for many groups than for kLargeGroupBlocks of them.
GAUFUSE_HD int64_t greedy_workspace_segments(int64_t groups, int64_t capacity) {
  if (capacity <= kOnChipSegments) return 0;
  return (groups < kLargeGroupBlocks ? groups : kLargeGroupBlocks) * capacity;
}

// counts may be null (every group is full); values outside [0, capacity] are clamped, so that no
// count, however wrong, leads outside the tensor.
GAUFUSE_HD int64_t valid_count(const int64_t* counts, int64_t group, int64_t capacity) {
  if (counts == nullptr) return capacity;
  const int64_t count = counts[group];
  return count < 0 ? 0 : (count > capacity ? capacity : count);
}

}  // namespace gaufuse
