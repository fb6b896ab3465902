// exp(x) for x <= 0, the same to the bit on every CPU and GPU.
//
// Library exponentials differ in the last bit from one another, and soft-NMS compares products of
// exponentials: the order of its output would depend on the machine. This one is additions and
// multiplications only, so compilers also vectorise loops around it. Error below 2 units in the
// last place; zero below kExpNegativeLeast, where results come near the denormal numbers.
#pragma once

#include <cstdint>
#include <cstring>

#include "gaufuse/host_device.h"

namespace gaufuse {

constexpr double kExpNegativeLeast = -708.0;

// NaN gives 0.
GAUFUSE_HD double exp_negative(double x) {
  // 1. x = n ln 2 + r with |r| <= ln 2 / 2. Adding kRound rounds to an integer and leaves it in the
  //    low bits. ln 2 is split so that n * kLn2High is exact.
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kLn2High = 0x1.62e42feep-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double shifted = x * kLog2E + kRound;
  const double n = shifted - kRound;
  const double r = (x - n * kLn2High) - n * kLn2Low;
  // 2. exp(r) by its Taylor series; the first term left out is 4e-18.
  double series = 1.0 / 6227020800.0;
  series = series * r + 1.0 / 479001600.0;
  series = series * r + 1.0 / 39916800.0;
  series = series * r + 1.0 / 3628800.0;
  series = series * r + 1.0 / 362880.0;
  series = series * r + 1.0 / 40320.0;
  series = series * r + 1.0 / 5040.0;
  series = series * r + 1.0 / 720.0;
  series = series * r + 1.0 / 120.0;
  series = series * r + 1.0 / 24.0;
  series = series * r + 1.0 / 6.0;
  series = series * r + 0.5;
  series = series * r + 1.0;
  series = series * r + 1.0;
  // 3. 2^n: n, from the low bits, becomes the exponent.
  uint64_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof(power));
  return x >= kExpNegativeLeast ? series * power : 0.0;
}

}  // namespace gaufuse
