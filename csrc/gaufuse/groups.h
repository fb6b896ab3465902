// Ragged batches: G groups padded to a common size, `counts[g]` of which are valid.
#pragma once

#include <cstdint>

#include "gaufuse/host_device.h"
#include "gaufuse/status.h"

namespace gaufuse {

// The CPU numbers a group's segments, and the cells of its index, by int32. CUDA, which does not,
// refuses the same: it does not know the counts, so that the padding is what both go by.
constexpr int64_t kMostSegments = int64_t(1) << 30;

// For operations that go through a group's segments by score: checked before any of them is read.
inline Status check_group_size(int64_t capacity) {
  if (capacity <= kMostSegments) return Status();
  return make_status(Code::invalid_argument, "a group must have at most %lld segments, got %lld",
                     static_cast<long long>(kMostSegments), static_cast<long long>(capacity));
}

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
