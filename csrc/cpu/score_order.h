// The order in which greedy operations visit a group: by score descending, then by index.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace gaufuse {

// Unsigned keys that rise as scores fall; equal scores (-0 and 0 too) have equal keys.
inline uint32_t descending_key(float score) {
  score += 0.0f;
  uint32_t bits;
  std::memcpy(&bits, &score, sizeof(bits));
  return (bits >> 31) ? bits : ~bits & 0x7fffffffu;
}

inline uint64_t descending_key(double score) {
  score += 0.0;
  uint64_t bits;
  std::memcpy(&bits, &score, sizeof(bits));
  return (bits >> 63) ? bits : ~bits & 0x7fffffffffffffffull;
}

// Sorts a group's indices. Keeps its buffers between groups.
template <typename T>
class ScoreOrder {
 public:
  // The sorted indices, valid until the next call.
  const int32_t* sort(const T* scores, int64_t count) {
    items_.resize(count);
    for (int64_t i = 0; i < count; ++i)
      items_[i] = Item{descending_key(scores[i]), static_cast<int32_t>(i)};
    if (count < kRadixFrom)
      std::sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) {
        return a.key < b.key || (a.key == b.key && a.index < b.index);
      });
    else if (count < kWideFrom)
      radix_sort<8>(count);
    else
      radix_sort<11>(count);
    order_.resize(count);
    for (int64_t i = 0; i < count; ++i) order_[i] = items_[i].index;
    return order_.data();
  }

 private:
  using Key = decltype(descending_key(T()));

  struct Item {
    Key key;
    int32_t index;
  };

  static constexpr int64_t kRadixFrom = 128;  // below, std::sort is faster
  static constexpr int64_t kWideFrom = 4096;  // below, short digits are

  // Stable, least significant digit first; digits that all keys share are skipped.
  template <int kBits>
  void radix_sort(int64_t count) {
    constexpr int kBins = 1 << kBits;
    const auto digit_of = [](Key key, int digit) {
      return static_cast<int>(key >> (digit * kBits)) & (kBins - 1);
    };
    constexpr int digits = (8 * sizeof(Key) + kBits - 1) / kBits;
    other_.resize(count);
    bins_.assign(digits * kBins, 0);
    for (const Item& item : items_)
      for (int digit = 0; digit < digits; ++digit)
        ++bins_[digit * kBins + digit_of(item.key, digit)];
    for (int digit = 0; digit < digits; ++digit) {
      int32_t* bins = bins_.data() + digit * kBins;
      if (bins[digit_of(items_[0].key, digit)] == count) continue;
      int32_t first = 0;
      for (int bin = 0; bin < kBins; ++bin) {
        const int32_t size = bins[bin];
        bins[bin] = first;
        first += size;
      }
      for (const Item& item : items_) other_[bins[digit_of(item.key, digit)]++] = item;
      items_.swap(other_);
    }
  }

  std::vector<Item> items_;
  std::vector<Item> other_;
  std::vector<int32_t> bins_;
  std::vector<int32_t> order_;
};

}  // namespace gaufuse
