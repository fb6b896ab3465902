// The outer ring around a run or an instance (method section 3): how far it reaches, which
// snippets it holds. Shared by the proposals' outer-inner contrast and the membership rows.
#pragma once

#include <cmath>
#include <cstdint>

#include "gaufuse/host_device.h"

namespace gaufuse {

// Half-open ranges of snippets; empty where stop <= start.
struct SnippetRange {
  int64_t start;
  int64_t stop;

  GAUFUSE_HD int64_t size() const { return stop > start ? stop - start : 0; }
};

struct Ring {
  SnippetRange left;
  SnippetRange right;
};

// CUDA's pow may be off by one in the last place, which moves a boundary where the reach is a whole
// number; those of the power 1 (RSKP's) often are.
GAUFUSE_HD double ring_reach(int64_t length, double margin, double margin_power) {
  const double base = static_cast<double>(length);
  return margin * (margin_power == 1.0 ? base : pow(base, margin_power));
}

// left is [int(start - reach), start), right is [right_start, int(end + reach + 1)), both clipped
// to [0, num_snippets - 1). The release leaves the last snippet out of every right ring: so do we.
// Clipping happens before the conversion to int64, so that a huge reach cannot overflow it.
GAUFUSE_HD Ring make_ring(int64_t start, int64_t end, int64_t right_start, int64_t num_snippets,
                          double reach) {
  const double first = static_cast<double>(start) - reach;
  const double last = static_cast<double>(end) + reach + 1.0;
  const double limit = static_cast<double>(num_snippets) - 1.0;
  Ring ring;
  ring.left.start = first > 0.0 ? static_cast<int64_t>(first) : 0;
  ring.left.stop = start < num_snippets ? start : num_snippets;
  ring.right.start = right_start > 0 ? right_start : 0;
  ring.right.stop = last < limit ? static_cast<int64_t>(last) : static_cast<int64_t>(limit);
  return ring;
}

}  // namespace gaufuse
