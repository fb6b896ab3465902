// Ragged groups of scored segments, as every operation on them takes, and what it must say to them.
#pragma once

#include <cmath>
#include <cstdint>

#include "fuzz/array.h"
#include "gaufuse/groups.h"
#include "gaufuse/status.h"

namespace gaufuse {

// In [0, most], nothing now and then.
inline int64_t draw_size(Bytes& bytes, int64_t most) {
  return bytes.one_in(24) ? 0 : 1 + bytes.upto(most - 1);
}

struct GroupSizes {
  int64_t groups;
  int64_t capacity;
};

inline GroupSizes draw_sizes(Bytes& bytes) {
  const bool large = bytes.one_in(64);  // radix sort, several tiles
  return GroupSizes{draw_size(bytes, 3), draw_size(bytes, large ? 300 : 18)};
}

// (groups,), or empty: then an operation gets null. `valid` becomes false where one is out of
// range.
inline Array<int64_t> draw_counts(Bytes& bytes, int64_t groups, int64_t most, bool& valid) {
  if (bytes.one_in(3)) return Array<int64_t>();
  Array<int64_t> counts = make_array<int64_t>(bytes, groups);
  for (int64_t g = 0; g < groups; ++g) {
    counts[g] = bytes.upto(most);
    if (!bytes.one_in(200)) continue;
    const int64_t wrong[] = {-1, most + 1, INT64_MIN, INT64_MAX};
    counts[g] = wrong[bytes.upto(3)];
    valid = false;
  }
  return counts;
}

inline const int64_t* pointer_or_null(const Array<int64_t>& counts, bool given) {
  return given ? counts.data() : nullptr;
}

template <typename T>
bool is_segment(T start, T end) {
  return std::isfinite(start) && std::isfinite(end) && start <= end;
}

// (groups, capacity, 2): valid ones, but now and then one of `bits`; padding may hold anything.
template <typename T>
Array<T> draw_segments(Bytes& bytes, int64_t groups, int64_t capacity, const int64_t* counts,
                       bool& valid) {
  Array<T> segments = make_array<T>(bytes, 2 * groups * capacity);
  const Style style = bytes.style();
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t count = valid_count(counts, g, capacity);
    for (int64_t i = g * capacity; i < (g + 1) * capacity; ++i) {
      T& start = segments[2 * i];
      T& end = segments[2 * i + 1];
      if (i - g * capacity >= count) {
        start = bytes.not_finite<T>();
        end = bytes.one_in(2) ? start : bytes.number<T>(Style::special);
        continue;
      }
      start = bytes.number<T>(style);
      end = bytes.number<T>(style);
      if (end < start) {
        const T other = start;
        start = end;
        end = other;
      }
      if (bytes.one_in(250)) (bytes.one_in(2) ? start : end) = bytes.number<T>(Style::bits);
      valid &= is_segment(start, end);
    }
  }
  return segments;
}

// (groups, capacity): finite ones, but now and then.
template <typename T>
Array<T> draw_values(Bytes& bytes, int64_t groups, int64_t capacity, const int64_t* counts,
                     bool& valid) {
  Array<T> values = make_array<T>(bytes, groups * capacity);
  const Style style = bytes.style();
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t count = valid_count(counts, g, capacity);
    for (int64_t i = g * capacity; i < (g + 1) * capacity; ++i) {
      const bool padding = i - g * capacity >= count;
      values[i] = padding || bytes.one_in(400) ? bytes.not_finite<T>() : bytes.number<T>(style);
      if (!padding) valid &= std::isfinite(values[i]);
    }
  }
  return values;
}

template <typename T>
struct ScoredGroups {
  int64_t groups;
  int64_t capacity;
  bool valid = true;
  bool counted;
  Array<int64_t> counts_array;
  Array<T> segments;
  Array<T> scores;

  explicit ScoredGroups(Bytes& bytes) {
    const GroupSizes sizes = draw_sizes(bytes);
    groups = sizes.groups;
    capacity = sizes.capacity;
    counts_array = draw_counts(bytes, groups, capacity, valid);
    counted = counts_array.size() > 0;
    segments = draw_segments<T>(bytes, groups, capacity, counts(), valid);
    scores = draw_values<T>(bytes, groups, capacity, counts(), valid);
  }

  const int64_t* counts() const { return pointer_or_null(counts_array, counted); }
  int64_t count(int64_t group) const { return valid_count(counts(), group, capacity); }
  int64_t at(int64_t group, int64_t i) const { return group * capacity + i; }
};

// Valid input is worked on, invalid input is refused with a message.
inline bool accepted(const Status& status, bool valid);

}  // namespace gaufuse

#include "fuzz/check.h"

inline bool gaufuse::accepted(const Status& status, bool valid) {
  CHECK(status.ok() == valid);
  CHECK(valid || (status.code == Code::invalid_argument && status.message[0] != '\0'));
  return valid;
}
