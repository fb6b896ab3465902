// A team sorts numbers in memory: Batcher's odd-even merge sort, which takes any size.
#pragma once

#include "cuda/launch.cuh"

namespace gaufuse {

// `before` must order any two of the items: then the result is the same for every team. Begins and
// ends with the team's accesses to memory in order.
template <typename Group, typename Before>
__device__ void team_sort(const Group& team, int64_t* items, int64_t size, Before before) {
  team.sync();
  for (int64_t merged = 1; merged < size; merged *= 2) {
    for (int64_t distance = merged; distance >= 1; distance /= 2) {
      const int64_t first = distance % merged;  // 0 where two runs meet, then the distance
      for (int64_t low = first + team.rank(); low + distance < size; low += team.size) {
        const int64_t high = low + distance;
        if (((low - first) & distance) != 0) continue;  // it is the higher one of another pair
        if ((low ^ high) >= 2 * merged) continue;       // not of the same two runs
        const int64_t a = items[low];
        const int64_t b = items[high];
        if (!before(b, a)) continue;
        items[low] = b;
        items[high] = a;
      }
      team.sync();
    }
  }
}

}  // namespace gaufuse
