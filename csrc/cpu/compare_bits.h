// Threshold comparison of activations into bit masks, 64 snippets a word.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace gaufuse {

// The largest T that is <= threshold: x > threshold in double exactly when x > this in T.
template <typename T>
T round_down(double threshold) {
  T rounded = static_cast<T>(threshold);
  if (static_cast<double>(rounded) > threshold)
    rounded = std::nextafter(rounded, -std::numeric_limits<T>::infinity());
  return rounded;
}

template <typename T>
uint64_t greater_bits(const T* values, T threshold, int size) {
  uint64_t bits = 0;
  for (int i = 0; i < size; ++i) bits |= static_cast<uint64_t>(values[i] > threshold) << i;
  return bits;
}

#if defined(__SSE2__)
inline uint64_t greater_bits64(const float* values, float threshold) {
  const __m128 limit = _mm_set1_ps(threshold);
  uint64_t bits = 0;
  for (int i = 0; i < 64; i += 4) {
    const int four = _mm_movemask_ps(_mm_cmpgt_ps(_mm_loadu_ps(values + i), limit));
    bits |= static_cast<uint64_t>(four) << i;
  }
  return bits;
}

inline uint64_t greater_bits64(const double* values, double threshold) {
  const __m128d limit = _mm_set1_pd(threshold);
  uint64_t bits = 0;
  for (int i = 0; i < 64; i += 2) {
    const int two = _mm_movemask_pd(_mm_cmpgt_pd(_mm_loadu_pd(values + i), limit));
    bits |= static_cast<uint64_t>(two) << i;
  }
  return bits;
}
#else
template <typename T>
uint64_t greater_bits64(const T* values, T threshold) {
  return greater_bits(values, threshold, 64);
}
#endif

}  // namespace gaufuse
