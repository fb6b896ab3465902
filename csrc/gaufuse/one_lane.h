// Who works on a small program that the CPU and CUDA solve by the same code: OneLane, a thread of
// the CPU, or WarpLanes (cuda/warp_lanes.cuh), the lanes of a warp. All lanes run that code, with
// the same scalars, and share its loops over arrays:
//
//   for (int j = lanes.rank(); j < count; j += lanes.size) ...
//
// What one lane wrote another reads after lanes.sync(), no earlier; every function that writes to
// arrays ends with one. Both give the same bits: what does not depend on order meets in reduce(),
// what does in sum(), in a fixed tree.
#pragma once

#include "gaufuse/heap_sort.h"
#include "gaufuse/host_device.h"

namespace gaufuse {

constexpr int kSumLanes = 32;  // partial sums of sum(): of the items i, i + 32, ...

struct OneLane {
  static constexpr int size = 1;

  GAUFUSE_HD int rank() const { return 0; }
  GAUFUSE_HD void sync() const {}

  // merge(...) over the values of all lanes; its order must not matter.
  template <typename Value, typename Merge>
  GAUFUSE_HD Value reduce(Value mine, Merge) const {
    return mine;
  }

  // The sum of value_of(i) for i in [0, count).
  template <typename Value, typename ValueOf>
  GAUFUSE_HD Value sum(int count, ValueOf value_of) const {
    if (count == 0) return Value{};
    const int lanes = count < kSumLanes ? count : kSumLanes;
    Value partial[kSumLanes];
    for (int lane = 0; lane < lanes; ++lane) partial[lane] = value_of(lane);
    for (int i = lanes; i < count; ++i) {
      Value& own = partial[i % kSumLanes];
      own = own + value_of(i);
    }
    for (int offset = kSumLanes / 2; offset > 0; offset /= 2)
      for (int lane = 0; lane < offset && lane + offset < lanes; ++lane)
        partial[lane] = partial[lane] + partial[lane + offset];
    return partial[0];
  }

  // scratch: (count,). Items that `less` does not order must be the same.
  template <typename Item, typename Less>
  GAUFUSE_HD void sort(Item* items, int count, Item* /*scratch*/, Less less) const {
    heap_sort(items, count, less);
  }

  // Calls keep(i) for i in [0, count), and place(i, position) for those where it is true, which are
  // numbered in order; their number. place() may overwrite what keep() read of items up to i.
  template <typename Keep, typename Place>
  GAUFUSE_HD int compact(int count, Keep keep, Place place) const {
    int kept = 0;
    for (int i = 0; i < count; ++i)
      if (keep(i)) place(i, kept++);
    return kept;
  }

  // values[i] becomes the sum of those before it; the sum of all.
  GAUFUSE_HD int exclusive_sum(int* values, int count) const {
    int total = 0;
    for (int i = 0; i < count; ++i) {
      const int value = values[i];
      values[i] = total;
      total += value;
    }
    return total;
  }
};

}  // namespace gaufuse
