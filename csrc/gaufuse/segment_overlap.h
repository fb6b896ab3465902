// Overlap of two segments. All decisions are made in double, whatever the tensors' dtype, so that
// the CPU kernels, the CUDA kernels and the NumPy references decide alike.
#pragma once

#include <cstdint>

#include "gaufuse/host_device.h"

namespace gaufuse {

enum class Overlap : int {
  candidate = 0,  // intersection over the candidate's own length (the release)
  iou = 1,        // intersection over union
  min = 2,        // intersection over the shorter of the two
};

struct Segment {
  double start;
  double end;
};

// Segment `index` of (n, 2) boundaries.
template <typename T>
GAUFUSE_HD Segment load_segment(const T* segments, int64_t index) {
  return Segment{static_cast<double>(segments[2 * index]),
                 static_cast<double>(segments[2 * index + 1])};
}

// Zero where the base length is not positive: two zero-length segments never divide by zero.
GAUFUSE_HD double segment_overlap(Segment seed, Segment candidate, Overlap kind,
                                  double length_offset) {
  const double last_start = seed.start > candidate.start ? seed.start : candidate.start;
  const double first_end = seed.end < candidate.end ? seed.end : candidate.end;
  const double shared = first_end - last_start + length_offset;
  if (!(shared > 0.0)) return 0.0;
  const double seed_length = seed.end - seed.start + length_offset;
  const double length = candidate.end - candidate.start + length_offset;
  double base = length;
  if (kind == Overlap::iou) base = seed_length + length - shared;
  if (kind == Overlap::min) base = seed_length < length ? seed_length : length;
  return base > 0.0 ? shared / base : 0.0;
}

// Intersection over union with `length_epsilon` added to both lengths, as published 1-D NMS does
// (1e-6) to divide by zero nowhere; with 0.0 it is segment_overlap(..., Overlap::iou, 0.0).
GAUFUSE_HD double iou_of(Segment a, Segment b, double length_epsilon) {
  const double last_start = a.start > b.start ? a.start : b.start;
  const double first_end = a.end < b.end ? a.end : b.end;
  const double shared = first_end - last_start;
  if (!(shared > 0.0)) return 0.0;
  const double base =
      (a.end - a.start + length_epsilon) + (b.end - b.start + length_epsilon) - shared;
  return base > 0.0 ? shared / base : 0.0;
}

}  // namespace gaufuse
