#include "cpu/check_values.h"

#include <cmath>

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
Status check_finite(const char* name, const T* values, int64_t count, int64_t group) {
  if (all_finite(values, count)) return Status();
  int64_t i = 0;
  while (std::isfinite(values[i])) ++i;
  return make_status(Code::invalid_argument, "%s must be finite, got %g at [%lld, %lld]", name,
                     static_cast<double>(values[i]), static_cast<long long>(group),
                     static_cast<long long>(i));
}

template <typename T>
Status check_segments(const char* name, const T* segments, int64_t count, int64_t group) {
  int64_t bad = 0;
  for (int64_t i = 0; i < count; ++i) bad += !(segments[2 * i] <= segments[2 * i + 1]);
  if (bad == 0 && all_finite(segments, 2 * count)) return Status();
  for (int64_t i = 0;; ++i) {
    const T start = segments[2 * i];
    const T end = segments[2 * i + 1];
    const bool finite = std::isfinite(start) && std::isfinite(end);
    if (finite && start <= end) continue;
    return make_status(Code::invalid_argument,
                       finite ? "%s must have end >= start, got [%g, %g] at [%lld, %lld]"
                              : "%s must be finite, got [%g, %g] at [%lld, %lld]",
                       name, static_cast<double>(start), static_cast<double>(end),
                       static_cast<long long>(group), static_cast<long long>(i));
  }
}

template <typename T>
Status check_weights(const char* name, const T* weights, int64_t count, int64_t group) {
  GAUFUSE_RETURN_IF_BAD(check_finite(name, weights, count, group));
  for (int64_t i = 0; i < count; ++i)
    if (!(weights[i] >= T(0) && static_cast<double>(weights[i]) <= 1e100))
      return make_status(Code::invalid_argument,
                         "%s must lie in [0, 1e100], got %g at [%lld, %lld]", name,
                         static_cast<double>(weights[i]), static_cast<long long>(group),
                         static_cast<long long>(i));
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

template Status check_finite(const char*, const float*, int64_t, int64_t);
template Status check_finite(const char*, const double*, int64_t, int64_t);
template Status check_segments(const char*, const float*, int64_t, int64_t);
template Status check_segments(const char*, const double*, int64_t, int64_t);
template Status check_weights(const char*, const float*, int64_t, int64_t);
template Status check_weights(const char*, const double*, int64_t, int64_t);

}  // namespace gaufuse
