// Loops over arrays of double, kLanes at a time: what the greedy operations share. To be inlined
// into GAUFUSE_MULTIVERSION functions. Sizes are multiples of kLanes; the order of all additions
// and comparisons is fixed by kLanes, not by the vectors of the machine.
#pragma once

#include <cstdint>

#include "cpu/multiversion.h"
#include "gaufuse/segment_overlap.h"

namespace gaufuse {

constexpr int kLanes = 8;

inline int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// iou_of to the bit, without branches.
GAUFUSE_ALWAYS_INLINE double iou_without_branches(Segment a, double start, double end,
                                                  double length_epsilon) {
  const double last_start = a.start > start ? a.start : start;
  const double first_end = a.end < end ? a.end : end;
  const double shared = first_end - last_start;
  const double base = (a.end - a.start + length_epsilon) + (end - start + length_epsilon) - shared;
  const double ratio = shared / base;
  return ((shared > 0.0) & (base > 0.0)) ? ratio : 0.0;
}

// `size` is positive.
GAUFUSE_ALWAYS_INLINE double largest_of(const double* values, int64_t size) {
  double largest[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) largest[lane] = values[lane];
  for (int64_t i = kLanes; i < size; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane)
      largest[lane] = values[i + lane] > largest[lane] ? values[i + lane] : largest[lane];
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane)
      largest[lane] = largest[lane + half] > largest[lane] ? largest[lane + half] : largest[lane];
  return largest[0];
}

GAUFUSE_ALWAYS_INLINE double sum_of_lanes(double* sums) {
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  return sums[0];
}

}  // namespace gaufuse
