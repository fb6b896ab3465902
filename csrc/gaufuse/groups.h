// Ragged batches: G groups padded to a common size, `counts[g]` of which are valid.
#pragma once

#include <cstdint>

#include "gaufuse/host_device.h"

namespace gaufuse {

// CUDA: groups of at most so many segments are kept in registers. Larger ones need a workspace of
// two doubles a segment, which the caller allocates where a batch has room for such a group.
constexpr int64_t kOnChipSegments = 2048;

// counts may be null (every group is full); values outside [0, capacity] are clamped, so that no
// count, however wrong, leads outside the tensor.
GAUFUSE_HD int64_t valid_count(const int64_t* counts, int64_t group, int64_t capacity) {
  if (counts == nullptr) return capacity;
  const int64_t count = counts[group];
  return count < 0 ? 0 : (count > capacity ? capacity : count);
}

}  // namespace gaufuse
