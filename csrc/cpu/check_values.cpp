#include "cpu/check_values.h"

#include <cmath>

#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

// x - x is zero for finite x and NaN otherwise: a sum that vectorises.
template <typename T>
bool all_finite(const T* values, int64_t size) {
  T sum = 0;
  for (int64_t i = 0; i < size; ++i) sum += values[i] - values[i];
  return sum == T(0);
}

}  // namespace

template <typename T>
Status check_finite(const char* name, const T* values, const int64_t* counts, int64_t groups,
                    int64_t capacity) {
  for (int64_t g = 0; g < groups; ++g) {
    const T* row = values + g * capacity;
    const int64_t count = valid_count(counts, g, capacity);
    if (all_finite(row, count)) continue;
    int64_t i = 0;
    while (std::isfinite(row[i])) ++i;
    return make_status(Code::invalid_argument, "%s must be finite, got %g at [%lld, %lld]", name,
                       static_cast<double>(row[i]), static_cast<long long>(g),
                       static_cast<long long>(i));
  }
  return Status();
}

template <typename T>
Status check_segments(const char* name, const T* segments, const int64_t* counts, int64_t groups,
                      int64_t capacity) {
  for (int64_t g = 0; g < groups; ++g) {
    const T* row = segments + 2 * g * capacity;
    const int64_t count = valid_count(counts, g, capacity);
    for (int64_t i = 0; i < count; ++i) {
      const T start = row[2 * i];
      const T end = row[2 * i + 1];
      if (std::isfinite(start) && std::isfinite(end) && start <= end) continue;
      const bool finite = std::isfinite(start) && std::isfinite(end);
      return make_status(Code::invalid_argument,
                         finite ? "%s must have end >= start, got [%g, %g] at [%lld, %lld]"
                                : "%s must be finite, got [%g, %g] at [%lld, %lld]",
                         name, static_cast<double>(start), static_cast<double>(end),
                         static_cast<long long>(g), static_cast<long long>(i));
    }
  }
  return Status();
}

Status check_counts(const char* name, const int64_t* counts, int64_t groups, int64_t capacity) {
  if (counts == nullptr) return Status();
  for (int64_t g = 0; g < groups; ++g) {
    if (counts[g] >= 0 && counts[g] <= capacity) continue;
    return make_status(Code::invalid_argument, "%s must lie in [0, %lld], got %lld at [%lld]", name,
                       static_cast<long long>(capacity), static_cast<long long>(counts[g]),
                       static_cast<long long>(g));
  }
  return Status();
}

template Status check_finite(const char*, const float*, const int64_t*, int64_t, int64_t);
template Status check_finite(const char*, const double*, const int64_t*, int64_t, int64_t);
template Status check_segments(const char*, const float*, const int64_t*, int64_t, int64_t);
template Status check_segments(const char*, const double*, const int64_t*, int64_t, int64_t);

}  // namespace gaufuse
