// The lanes of a warp, for code that is shared with the CPU: see gaufuse/one_lane.h.
#pragma once

#include "cuda/team.cuh"
#include "gaufuse/one_lane.h"

namespace gaufuse {

struct WarpLanes {
  static constexpr int size = 32;
  static_assert(size == kSumLanes, "sums are made in the order of OneLane's");

  __device__ int rank() const { return static_cast<int>(threadIdx.x) % size; }
  __device__ void sync() const { __syncwarp(); }

  template <typename Value, typename Merge>
  __device__ Value reduce(Value mine, Merge merge) const {
    return Team<size, Value>(nullptr).reduce(mine, merge);
  }

  template <typename Value, typename ValueOf>
  __device__ Value sum(int count, ValueOf value_of) const {
    const int lane = rank();
    const int lanes = count < size ? count : size;
    Value mine{};
    if (lane < lanes) mine = value_of(lane);
    for (int i = lane + size; i < count; i += size) mine = mine + value_of(i);
#pragma unroll
    for (int offset = size / 2; offset > 0; offset /= 2) {
      const Value other = shuffle_down(mine, offset);
      if (lane + offset < lanes) mine = mine + other;
    }
    return broadcast(mine);
  }

  // By rank: an item's place is the number of those before it.
  template <typename Item, typename Less>
  __device__ void sort(Item* items, int count, Item* scratch, Less less) const {
    for (int i = rank(); i < count; i += size) {
      const Item item = items[i];
      int place = 0;
      for (int k = 0; k < count; ++k)
        place += less(items[k], item) || (k < i && !less(item, items[k]));
      scratch[place] = item;
    }
    sync();
    for (int i = rank(); i < count; i += size) items[i] = scratch[i];
    sync();
  }

  template <typename Keep, typename Place>
  __device__ int compact(int count, Keep keep, Place place) const {
    int kept = 0;
    for (int first = 0; first < count; first += size) {
      const int i = first + rank();
      const bool keeps = i < count && keep(i);
      const unsigned lanes = __ballot_sync(kFullWarp, keeps);
      sync();  // all have read what is overwritten now
      if (keeps) place(i, kept + __popc(lanes & ((1u << rank()) - 1u)));
      kept += __popc(lanes);
      sync();
    }
    return kept;
  }

  __device__ int exclusive_sum(int* values, int count) const {
    int total = 0;
    for (int first = 0; first < count; first += size) {
      const int i = first + rank();
      int here;
      const int before = Team<size, int>(nullptr).exclusive_sum(i < count ? values[i] : 0, here);
      if (i < count) values[i] = total + before;
      total += here;
    }
    sync();
    return total;
  }
};

}  // namespace gaufuse
