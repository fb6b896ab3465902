// A sort for shared code: in place, no recursion, no allocation.
#pragma once

#include <cstdint>

#include "gaufuse/host_device.h"

namespace gaufuse {

// Not stable: `less` must order any two items.
template <typename Item, typename Less>
GAUFUSE_HD_CALLED void heap_sort(Item* items, int64_t size, Less less) {
  const auto sift = [&](int64_t root, int64_t end) {
    const Item item = items[root];
    for (int64_t child = 2 * root + 1; child < end; child = 2 * root + 1) {
      if (child + 1 < end && less(items[child], items[child + 1])) ++child;
      if (!less(item, items[child])) break;
      items[root] = items[child];
      root = child;
    }
    items[root] = item;
  };
  for (int64_t root = size / 2; root-- > 0;) sift(root, size);
  for (int64_t end = size; end-- > 1;) {
    const Item last = items[end];
    items[end] = items[0];
    items[0] = last;
    sift(0, end);
  }
}

}  // namespace gaufuse
