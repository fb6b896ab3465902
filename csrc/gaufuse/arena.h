// Memory that a caller lends to code that must not allocate.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gaufuse/host_device.h"

namespace gaufuse {

struct Arena {
  char* memory;  // aligned to 8 bytes
  int64_t size;
  int64_t used;

  // `count` uninitialised items, or null where they do not fit: `used` then says how much would.
  template <typename Item>
  GAUFUSE_HD Item* take(int64_t count) {
    static_assert(alignof(Item) <= 8, "items lie at multiples of 8 bytes");
    Item* items = reinterpret_cast<Item*>(memory + used);
    used += (count * static_cast<int64_t>(sizeof(Item)) + 7) / 8 * 8;
    return used <= size ? items : nullptr;
  }
};

}  // namespace gaufuse
