// Ragged batches: G groups padded to a common size, `counts[g]` of which are valid.
#pragma once

#include <cstdint>

#include "gaufuse/host_device.h"

namespace gaufuse {

// counts may be null (every group is full); values outside [0, capacity] are clamped, so that no
// count, however wrong, leads outside the tensor.
GAUFUSE_HD int64_t valid_count(const int64_t* counts, int64_t group, int64_t capacity) {
  if (counts == nullptr) return capacity;
  const int64_t count = counts[group];
  return count < 0 ? 0 : (count > capacity ? capacity : count);
}

}  // namespace gaufuse
