// The bounds of a mean.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace gaufuse {

class Hull {
 public:
  template <typename T>
  void add(T value) {
    least_ = std::min(least_, static_cast<double>(value));
    most_ = std::max(most_, static_cast<double>(value));
  }

  // Finite, and no further out than rounding in T takes it, or `lost` where sums lose small
  // numbers.
  template <typename T>
  bool holds(T value, double lost = 1e-300) const {
    const double mean = static_cast<double>(value);
    const double size = std::max(std::fabs(least_), std::fabs(most_));
    const double room = 64.0 * size * static_cast<double>(std::numeric_limits<T>::epsilon()) +
                        lost + static_cast<double>(std::numeric_limits<T>::denorm_min());
    const bool inside = std::isfinite(mean) && mean >= least_ - room && mean <= most_ + room;
    if (!inside) std::fprintf(stderr, "%.17g is no mean of [%.17g, %.17g]\n", mean, least_, most_);
    return inside;
  }

 private:
  double least_ = std::numeric_limits<double>::infinity();
  double most_ = -std::numeric_limits<double>::infinity();
};

}  // namespace gaufuse
