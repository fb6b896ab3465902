// The segments of a group that a greedy operation has not dealt with yet. Thread t of a team keeps
// the segments t, t + size, ...; only it touches them, so no barrier is needed.
#pragma once

#include "cuda/team.cuh"
#include "gaufuse/overlap_test.h"

namespace gaufuse {

// Both kinds of items offer
//   sweep(visit): calls visit(index, segment, score) for every remaining segment; score may be
//     changed; where it returns false the segment is dropped.
//   each_dropped(sweeps_ago, visit): calls visit(index) for what the last sweep (0) or the one
//     before it (1) dropped.

template <typename T, int SIZE, int ITEMS>
class RegisterItems {
 public:
  __device__ RegisterItems(int rank, const T* segments, const T* scores, int64_t count,
                           Best* /*workspace*/)
      : rank_(rank) {
#pragma unroll
    for (int item = 0; item < ITEMS; ++item) {
      const int64_t j = rank + item * SIZE;
      const bool valid = j < count;
      remaining_ |= static_cast<unsigned>(valid) << item;
      segment_[item] = valid ? load_stored(segments, j) : StoredSegment<T>{T(0), T(0)};
      score_[item] = valid ? static_cast<double>(scores[j]) : 0.0;
    }
  }

  template <typename Visit>
  __device__ void sweep(Visit visit) {
    dropped_[1] = dropped_[0];
    dropped_[0] = 0;
#pragma unroll
    for (int item = 0; item < ITEMS; ++item) {
      if ((remaining_ >> item & 1u) == 0u) continue;
      if (!visit(static_cast<int64_t>(rank_ + item * SIZE), segment_[item], score_[item]))
        dropped_[0] |= 1u << item;
    }
    remaining_ &= ~dropped_[0];
  }

  template <typename Visit>
  __device__ void each_dropped(int sweeps_ago, Visit visit) const {
    for (unsigned left = dropped_[sweeps_ago]; left != 0u; left &= left - 1u)
      visit(static_cast<int64_t>(rank_ + (__ffs(static_cast<int>(left)) - 1) * SIZE));
  }

 private:
  int rank_;
  unsigned remaining_ = 0;
  unsigned dropped_[2] = {0, 0};
  StoredSegment<T> segment_[ITEMS];
  double score_[ITEMS];
};

// The same of groups too large for registers. The workspace lists scores and indices: those of
// thread t, at t, t + size, ..., first what remains, then what the last sweep dropped, then what
// the one before it did. So a sweep takes time by what remains.
template <typename T, int SIZE>
class MemoryItems {
 public:
  __device__ MemoryItems(int rank, const T* segments, const T* scores, int64_t count,
                         Best* workspace)
      : segments_(segments), list_(workspace + rank) {
    for (int64_t j = rank; j < count; j += SIZE, ++remaining_)
      list_[remaining_ * SIZE] = Best{static_cast<double>(scores[j]), j};
    dropped_[0] = dropped_[1] = remaining_;
  }

  template <typename Visit>
  __device__ void sweep(Visit visit) {
    dropped_[1] = dropped_[0];
    dropped_[0] = remaining_;
    for (int64_t k = 0; k < remaining_;) {
      const Best before = list_[k * SIZE];
      Best item = before;
      if (visit(item.index, load_stored(segments_, item.index), item.score)) {
        if (item.score != before.score) list_[k * SIZE].score = item.score;
        ++k;
      } else {
        --remaining_;
        list_[k * SIZE] = list_[remaining_ * SIZE];
        list_[remaining_ * SIZE] = item;
      }
    }
  }

  template <typename Visit>
  __device__ void each_dropped(int sweeps_ago, Visit visit) const {
    const int64_t first = sweeps_ago == 0 ? remaining_ : dropped_[0];
    for (int64_t k = first; k < dropped_[sweeps_ago]; ++k) visit(list_[k * SIZE].index);
  }

 private:
  const T* segments_;
  Best* list_;
  int64_t remaining_ = 0;
  int64_t dropped_[2];  // where those end that the last sweep dropped, and the one before it
};

// The best of what remains of one thread's items.
template <typename Items>
__device__ Best best_of(Items& items) {
  Best mine = no_segment();
  items.sweep([&](int64_t j, auto, double& score) {
    mine = better(mine, Best{score, j});
    return true;
  });
  return mine;
}

// The block's part of the workspace of large groups.
__device__ __forceinline__ Best* large_workspace(double* workspace, int64_t capacity) {
  return reinterpret_cast<Best*>(workspace) + blockIdx.x * capacity;
}

// How a group's items are kept: Store::Items<T, team size>.
template <int ITEMS>
struct InRegisters {
  template <typename T, int SIZE>
  using Items = RegisterItems<T, SIZE, ITEMS>;
};

struct InMemory {
  template <typename T, int SIZE>
  using Items = MemoryItems<T, SIZE>;
};

template <typename T, typename Store, typename TeamReference>
using ItemsOf = typename Store::template Items<T, std::decay_t<TeamReference>::size>;

}  // namespace gaufuse
