// From the bytes of a fuzzer to parameters. What is past the end is drawn from a fixed sequence, so
// that a few bytes make a whole input and a short one is no trivial one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace gaufuse {

// How large and how odd the numbers of an input are.
enum class Style { steps, fractions, special, bits };

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), end_(data + size), state_(size) {}

  uint8_t byte() {
    if (data_ < end_) return *data_++;
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);  // SplitMix64
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return static_cast<uint8_t>(z ^ (z >> 31));
  }

  uint64_t word() {
    uint64_t word = 0;
    for (int i = 0; i < 8; ++i) word = word << 8 | byte();
    return word;
  }

  // In [0, most], most < 2^16.
  int64_t upto(int64_t most) {
    const int64_t drawn = most < 256 ? byte() : byte() << 8 | byte();
    return drawn % (most + 1);
  }

  bool one_in(int64_t n) { return upto(n - 1) == 0; }

  // Steps are the likeliest: most of what is interesting is in ties and in touching boundaries.
  Style style() {
    static constexpr Style kStyles[] = {Style::steps,     Style::steps,   Style::fractions,
                                        Style::fractions, Style::special, Style::bits};
    return kStyles[upto(5)];
  }

  // In [0, 1], the ends among them.
  double fraction() { return static_cast<double>(upto(64)) / 64.0; }

  // Finite, unless the style is bits.
  template <typename T>
  T number(Style style) {
    switch (style) {
      case Style::steps:
        return static_cast<T>(upto(24)) - T(4);
      case Style::fractions:
        return static_cast<T>(upto(400)) / T(16) - T(4);
      case Style::special:
        return special<T>();
      default:
        return one_in(4) ? special<T>() : from_bits<T>();
    }
  }

  // NaN or an infinity.
  template <typename T>
  T not_finite() {
    using Limits = std::numeric_limits<T>;
    const T values[] = {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()};
    return values[upto(2)];
  }

  // In [0, infinity): what non-negative options may be.
  double not_negative() {
    static constexpr double kValues[] = {0.0,    1.0,   0.5,    2.0, 1e-6,  1e-12, 1e12,
                                         1e-300, 1e300, 5e-324, 0.2, 0.785, 1.5,   1.7e308};
    return one_in(3) ? fraction() : kValues[upto(13)];
  }

 private:
  template <typename T>
  T special() {
    using Limits = std::numeric_limits<T>;
    const T values[] = {T(0),
                        -T(0),
                        Limits::denorm_min(),
                        -Limits::denorm_min(),
                        Limits::min(),
                        Limits::max(),
                        Limits::lowest(),
                        Limits::epsilon(),
                        Limits::max() / 2,
                        T(1),
                        T(1) + Limits::epsilon(),
                        T(1e-30),
                        T(1e30),
                        T(-1e30),
                        T(16777217),
                        T(0.1),
                        T(9e15),
                        T(-9e15)};
    return values[upto(17)];
  }

  template <typename T>
  T from_bits() {
    const uint64_t bits = word();
    T value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }

  const uint8_t* data_;
  const uint8_t* end_;
  uint64_t state_;
};

}  // namespace gaufuse
