// Threshold comparison of activations into bit masks, 64 snippets a word.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace gaufuse {

// The largest T that is <= threshold: x > threshold in double exactly when x > this in T.
template <typename T>
T round_down(double threshold) {
  T rounded = static_cast<T>(threshold);
  if (static_cast<double>(rounded) > threshold)
    rounded = std::nextafter(rounded, -std::numeric_limits<T>::infinity());
  return rounded;
}

enum class Vectors { plain, avx2, avx512 };

// The widest that the machine has.
Vectors widest_vectors();

// Bit t % 64 of words[t / 64] tells whether values[t] > threshold; bits past `size` are zero.
void greater_bits(const float* values, int64_t size, float threshold, uint64_t* words);
void greater_bits(const double* values, int64_t size, double threshold, uint64_t* words);

// The same on vectors that the machine must have.
void greater_bits_on(Vectors vectors, const float* values, int64_t size, float threshold,
                     uint64_t* words);
void greater_bits_on(Vectors vectors, const double* values, int64_t size, double threshold,
                     uint64_t* words);

}  // namespace gaufuse
