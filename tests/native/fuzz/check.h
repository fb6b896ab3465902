// What must hold of an output; a fuzzer keeps the input for which it does not.
#pragma once

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

// The same, with numbers that tell why.
#define CHECK_NEAR(a, b, tolerance)                                                             \
  do {                                                                                          \
    const double check_a = (a), check_b = (b), check_tolerance = (tolerance);                   \
    if (!(check_a - check_b <= check_tolerance && check_b - check_a <= check_tolerance)) {      \
      std::fprintf(stderr, "%s:%d: %s = %.17g, %s = %.17g: differ by more than %g\n", __FILE__, \
                   __LINE__, #a, check_a, #b, check_b, check_tolerance);                        \
      std::abort();                                                                             \
    }                                                                                           \
  } while (false)
