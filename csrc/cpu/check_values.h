// Value checks of the CPU path: the first bad value is named by its position. (On CUDA they would
// need a device-to-host read; the kernels there stay within bounds whatever the values.)
#pragma once

#include <cstdint>
#include <mutex>

#include "gaufuse/status.h"

namespace gaufuse {

// The first `count` values of a group are finite.
template <typename T>
Status check_finite(const char* name, const T* values, int64_t count, int64_t group);

// The first `count` segments of a group are finite, with end >= start.
template <typename T>
Status check_segments(const char* name, const T* segments, int64_t count, int64_t group);

// The first `count` weights of a group are finite and not negative.
template <typename T>
Status check_weights(const char* name, const T* weights, int64_t count, int64_t group);

// counts: (groups,) or null, each in [0, capacity].
Status check_counts(const char* name, const int64_t* counts, int64_t groups, int64_t capacity);

// The bad value with the lowest group, whichever thread met it first: groups are checked by the
// threads that work on them.
class FirstError {
 public:
  // True where there is an error, which is kept if no lower group has one.
  bool add(const Status& status, int64_t group) {
    if (status.ok()) return false;
    std::lock_guard<std::mutex> lock(mutex_);
    if (status_.ok() || group < group_) {
      status_ = status;
      group_ = group;
    }
    return true;
  }

  const Status& status() const { return status_; }

 private:
  std::mutex mutex_;
  Status status_;
  int64_t group_ = 0;
};

}  // namespace gaufuse

#define GAUFUSE_RETURN_IF_BAD(expression)                  \
  do {                                                     \
    const ::gaufuse::Status gaufuse_status = (expression); \
    if (!gaufuse_status.ok()) return gaufuse_status;       \
  } while (false)
