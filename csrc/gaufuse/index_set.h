// A set of small integers that finds its next and its previous member at once: bits, with a bit for
// every 64 of them that are not all zero, and so on. On the caller's memory; CPU only.
#pragma once

#include <cstdint>

#include "gaufuse/arena.h"

namespace gaufuse {

struct IndexSet {
  static constexpr int kLevels = 4;  // of 64: up to 16 million members

  uint64_t* words[kLevels];
  int64_t sizes[kLevels];  // words
  int size;                // members lie in [0, size)

  // Empty. False: the arena is too small.
  bool lay_out(Arena& arena, int members) {
    size = members;
    int64_t count = members;
    for (int level = 0; level < kLevels; ++level) {
      count = count / 64 + 1;
      sizes[level] = count;
      words[level] = arena.take<uint64_t>(count);
    }
    if (words[kLevels - 1] == nullptr) return false;
    clear();
    return true;
  }

  void clear() {
    for (int level = 0; level < kLevels; ++level)
      for (int64_t i = 0; i < sizes[level]; ++i) words[level][i] = 0;
  }

  bool has(int i) const { return (words[0][i >> 6] >> (i & 63)) & 1; }

  void add(int i) {
    for (int level = 0; level < kLevels; ++level, i >>= 6)
      words[level][i >> 6] |= uint64_t{1} << (i & 63);
  }

  void remove(int i) {
    for (int level = 0; level < kLevels; ++level, i >>= 6) {
      words[level][i >> 6] &= ~(uint64_t{1} << (i & 63));
      if (words[level][i >> 6] != 0) break;
    }
  }

  // The least member from `i` on, or `size`.
  int next(int64_t i) const {
    for (int level = 0; level < kLevels && (i >> 6) < sizes[level]; ++level, i = (i >> 6) + 1) {
      const uint64_t rest = words[level][i >> 6] >> (i & 63);
      if (rest == 0) continue;
      i += __builtin_ctzll(rest);
      for (int below = level; below-- > 0;) i = i * 64 + __builtin_ctzll(words[below][i]);
      return static_cast<int>(i);
    }
    return size;
  }

  // The greatest member up to `i`, or -1.
  int previous(int64_t i) const {
    for (int level = 0; level < kLevels && i >= 0; ++level, i = (i >> 6) - 1) {
      const uint64_t rest = words[level][i >> 6] << (63 - (i & 63));
      if (rest == 0) continue;
      i -= __builtin_clzll(rest);
      for (int below = level; below-- > 0;) i = i * 64 + 63 - __builtin_clzll(words[below][i]);
      return static_cast<int>(i);
    }
    return -1;
  }
};

}  // namespace gaufuse
