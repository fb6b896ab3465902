// Value checks of the CPU path: the first bad value is named by its position. (On CUDA they would
// need a device-to-host read; the kernels there stay within bounds whatever the values.)
#pragma once

#include <cstdint>

#include "gaufuse/status.h"

namespace gaufuse {

// values: (groups, capacity), of which the first counts[g] of each row are checked.
template <typename T>
Status check_finite(const char* name, const T* values, const int64_t* counts, int64_t groups,
                    int64_t capacity);

// segments: (groups, capacity, 2); finite, and end >= start.
template <typename T>
Status check_segments(const char* name, const T* segments, const int64_t* counts, int64_t groups,
                      int64_t capacity);

// counts: (groups,), each in [0, capacity].
Status check_counts(const char* name, const int64_t* counts, int64_t groups, int64_t capacity);

}  // namespace gaufuse

#define GAUFUSE_RETURN_IF_BAD(expression)                  \
  do {                                                     \
    const ::gaufuse::Status gaufuse_status = (expression); \
    if (!gaufuse_status.ok()) return gaufuse_status;       \
  } while (false)
