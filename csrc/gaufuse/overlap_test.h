// Does the overlap of two segments reach a threshold? Decides as a comparison of segment_overlap()
// does, to the bit, nearly always without its division, and for float32 without a double: a GPU
// divides doubles slowly, and most do everything in double at 1/64 of the speed of floats.
#pragma once

#include <cmath>

#include "gaufuse/segment_overlap.h"

namespace gaufuse {

// A segment as it lies in a tensor.
template <typename T>
struct StoredSegment {
  T start;
  T end;

  GAUFUSE_HD Segment in_double() const {
    return Segment{static_cast<double>(start), static_cast<double>(end)};
  }

  // Is the intersection longer than zero?
  GAUFUSE_HD bool meets(const StoredSegment& other) const {
    return (start > other.start ? start : other.start) < (end < other.end ? end : other.end);
  }
};

template <typename T>
GAUFUSE_HD StoredSegment<T> load_stored(const T* segments, int64_t index) {
  return StoredSegment<T>{segments[2 * index], segments[2 * index + 1]};
}

struct OverlapTest {
  Overlap kind;
  double length_offset;   // as of segment_overlap()
  double length_epsilon;  // of Overlap::iou alone: as of iou_of()
  double threshold;
  bool strict;  // more than the threshold, not at least

  GAUFUSE_HD bool operator()(Segment seed, Segment candidate) const {
    const Parts<double> parts = parts_of(seed.start, seed.end, candidate.start, candidate.end,
                                         length_offset, length_epsilon);
    const double base = parts.base(kind);
    // Rounding moves neither the product nor the quotient by more than 2^-53 of itself where both
    // are normal numbers.
    const double needed = threshold * base;
    const double above = parts.shared - needed;
    const bool normal = threshold >= kLeastNormal && needed >= kLeastNormal && base > 0.0;
    if (normal && fabs(above) > needed * 0x1p-49) return above > 0.0;
    return decide_by_division(*this, seed, candidate);
  }

  GAUFUSE_HD bool operator()(StoredSegment<double> seed, StoredSegment<double> candidate) const {
    return operator()(seed.in_double(), candidate.in_double());
  }

  GAUFUSE_HD bool operator()(StoredSegment<float> seed, StoredSegment<float> candidate) const {
    const auto limit = static_cast<float>(threshold);
    const Parts<float> parts =
        parts_of(seed.start, seed.end, candidate.start, candidate.end,
                 static_cast<float>(length_offset), static_cast<float>(length_epsilon));
    // The errors of these operations add up to less than 2^-20 of the sum of the lengths where the
    // segments meet; where they are far apart, to much less than their distance.
    const float size = parts.seed_length + parts.length;
    const float above = parts.shared - limit * parts.base(kind);
    const bool normal = limit >= 1e-6f && limit <= 1.0f && size >= 1e-30f;
    if (normal && fabsf(above) > size * 0x1p-19f) return above > 0.0f;
    return decide_by_division(*this, seed.in_double(), candidate.in_double());
  }

 private:
  // Rarely needed: called, not inlined, it takes no registers of its caller.
  static GAUFUSE_HD_CALLED bool decide_by_division(OverlapTest test, Segment seed,
                                                   Segment candidate) {
    const double overlap = test.length_epsilon > 0.0
                               ? iou_of(seed, candidate, test.length_epsilon)
                               : segment_overlap(seed, candidate, test.kind, test.length_offset);
    return test.strict ? overlap > test.threshold : overlap >= test.threshold;
  }

  static constexpr double kLeastNormal = 1e-290;

  template <typename Real>
  struct Parts {
    Real shared;
    Real seed_length;
    Real length;

    GAUFUSE_HD Real base(Overlap kind) const {
      if (kind == Overlap::iou) return seed_length + length - shared;
      if (kind == Overlap::min) return seed_length < length ? seed_length : length;
      return length;
    }
  };

  template <typename Real>
  GAUFUSE_HD static Parts<Real> parts_of(Real seed_start, Real seed_end, Real start, Real end,
                                         Real offset, Real epsilon) {
    const Real last_start = seed_start > start ? seed_start : start;
    const Real first_end = seed_end < end ? seed_end : end;
    return Parts<Real>{first_end - last_start + offset, seed_end - seed_start + offset + epsilon,
                       end - start + offset + epsilon};
  }
};

}  // namespace gaufuse
