// Membership matrices of instances over snippets (method section 4).
//
// Contract
// - An instance [s, e) covers the snippets int(s) .. int(e) - 1, clipped to the sequence; its ring
//   lies on both sides of it. contrast: +1 inside, -1 in the ring; mean: 1/n_in inside;
//   contrast_mean: 1/n_in inside, -1/n_out in the ring. Counted after clipping.
// - A row whose instance covers no snippet is zero inside; rows past counts[g] and columns past
//   lengths[g] are zero.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/ring.h"
#include "gaufuse/status.h"

namespace gaufuse {

enum class Membership : int { contrast = 0, mean = 1, contrast_mean = 2 };

template <typename T>
struct IntervalMembershipParams {
  const T* segments;       // (groups, capacity, 2)
  const int64_t* counts;   // (groups,) or null
  const int64_t* lengths;  // (groups,) or null
  T* matrix;               // (groups, capacity, num_snippets)
  int64_t groups;
  int64_t capacity;
  int64_t num_snippets;
  double margin;
  double margin_power;
  Membership mode;
  GAUFUSE_FIELDS(segments, counts, lengths, matrix, groups, capacity, num_snippets, margin,
                 margin_power, mode)
};

struct MembershipRow {
  SnippetRange inside;
  Ring ring;
  double inside_value;
  double ring_value;
};

GAUFUSE_HD int64_t clip_snippet(double position, int64_t num_snippets) {
  if (!(position > 0.0)) return 0;
  const double limit = static_cast<double>(num_snippets);
  return position < limit ? static_cast<int64_t>(position) : num_snippets;
}

// Truncation toward zero of a boundary, saturated far outside of any sequence. NaN, which may come
// in a CUDA tensor, counts as far below: converting it would be undefined.
GAUFUSE_HD int64_t truncate_boundary(double position) {
  const double limit = 9.0e15;
  if (position > limit) return static_cast<int64_t>(limit);
  if (!(position >= -limit)) return static_cast<int64_t>(-limit);
  return static_cast<int64_t>(position);
}

GAUFUSE_HD MembershipRow make_membership_row(double start, double end, int64_t num_snippets,
                                             double margin, double margin_power, Membership mode) {
  const int64_t first = truncate_boundary(start);
  const int64_t last = truncate_boundary(end);
  MembershipRow row;
  row.inside = SnippetRange{clip_snippet(start, num_snippets), clip_snippet(end, num_snippets)};
  row.ring = Ring{SnippetRange{0, 0}, SnippetRange{0, 0}};
  if (mode != Membership::mean) {
    const double reach = last >= first ? ring_reach(last - first, margin, margin_power) : 0.0;
    row.ring = make_ring(first, last, last, num_snippets, reach);
  }
  row.inside_value = 1.0;
  row.ring_value = -1.0;
  if (mode != Membership::contrast) {
    const int64_t ring_size = row.ring.left.size() + row.ring.right.size();
    if (row.inside.size() > 0) row.inside_value = 1.0 / static_cast<double>(row.inside.size());
    if (ring_size > 0) row.ring_value = -1.0 / static_cast<double>(ring_size);
  }
  return row;
}

GAUFUSE_HD double membership_value(const MembershipRow& row, int64_t snippet) {
  const bool in_ring = (snippet >= row.ring.left.start && snippet < row.ring.left.stop) ||
                       (snippet >= row.ring.right.start && snippet < row.ring.right.stop);
  if (in_ring) return row.ring_value;
  if (snippet >= row.inside.start && snippet < row.inside.stop) return row.inside_value;
  return 0.0;
}

template <typename T>
Status interval_membership_cpu(const IntervalMembershipParams<T>& params, int threads);
template <typename T>
Status interval_membership_cuda(const IntervalMembershipParams<T>& params, void* stream);

}  // namespace gaufuse
