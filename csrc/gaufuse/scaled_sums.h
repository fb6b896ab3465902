// Weighted sums that neither overflow nor vanish, whatever the size of weights and values.
#pragma once

#include <cmath>

#include "gaufuse/host_device.h"

namespace gaufuse {

// Boundaries and scores are summed at this fraction of their size: a cluster of up to 2^32 members
// then cannot overflow the sum, however large they are. A power of two, so it costs no accuracy
// (but for float64 below 1e-298, which loses what is under 1e-313).
constexpr double kHeadroom = 1.0 / 4294967296.0;

// A weighted mean of what was summed at that fraction. Rounding may take that of the largest
// numbers past them, where infinity is: it stays at the largest.
GAUFUSE_HD double scaled_mean(double sum, double total) {
  constexpr double kMost = 0x1.fffffffffffffp+991;  // the largest number times kHeadroom
  const double mean = sum / total;
  return (mean > kMost ? kMost : (mean < -kMost ? -kMost : mean)) / kHeadroom;
}

// Weights are used in units of 2^exponent_of(largest weight): they lie in [0, 2), and ratios of
// sums are what they were to the bit. 0 for a largest weight of 0.
GAUFUSE_HD int exponent_of(double largest) { return largest > 0.0 ? ilogb(largest) : 0; }

GAUFUSE_HD double in_units(double weight, int exponent) { return scalbn(weight, -exponent); }

}  // namespace gaufuse
