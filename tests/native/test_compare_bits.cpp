// greater_bits on all vectors that this machine has, and round_down.
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/compare_bits.h"
#include "fuzz/array.h"
#include "fuzz/check.h"

namespace gaufuse {
namespace {

template <typename T>
void check_bits(Vectors vectors, int64_t size, int64_t offset) {
  using Limits = std::numeric_limits<T>;
  Array<T> values(size, offset);
  const T odd[] = {T(0.5),
                   std::nextafter(T(0.5), T(1)),
                   T(-0.0),
                   Limits::infinity(),
                   -Limits::infinity(),
                   Limits::quiet_NaN(),
                   Limits::denorm_min(),
                   T(0.25)};
  for (int64_t i = 0; i < size; ++i) values[i] = odd[(i * i + size) % 8];
  for (T threshold : {T(0.5), T(0), Limits::max(), -Limits::infinity()}) {
    Array<uint64_t> words((size + 63) / 64, offset);
    greater_bits_on(vectors, values.data(), size, threshold, words.data());
    for (int64_t i = 0; i < 64 * words.size(); ++i)
      CHECK((words[i / 64] >> (i % 64) & 1) == (i < size && values[i] > threshold));
  }
}

template <typename T>
void check_round_down() {
  using Limits = std::numeric_limits<double>;
  for (double threshold : {0.1, 1.0, -0.1, 1e300, -1e300, 1e-300, 0.0, Limits::max(),
                           Limits::lowest(), Limits::denorm_min()}) {
    const T rounded = round_down<T>(threshold);
    CHECK(static_cast<double>(rounded) <= threshold);
    const T next = std::nextafter(rounded, std::numeric_limits<T>::infinity());
    CHECK(static_cast<double>(next) > threshold);
  }
}

}  // namespace
}  // namespace gaufuse

int main() {
  using namespace gaufuse;
  for (Vectors vectors : {Vectors::plain, Vectors::avx2, Vectors::avx512}) {
    if (vectors > widest_vectors()) continue;
    for (int64_t size = 0; size < 200; ++size)
      for (int64_t offset : {0, 1, 3}) {
        check_bits<float>(vectors, size, offset);
        check_bits<double>(vectors, size, offset);
      }
  }
  check_round_down<float>();
  check_round_down<double>();
  return 0;
}
