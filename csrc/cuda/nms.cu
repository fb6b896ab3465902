#include "cuda/for_each_group.cuh"
#include "cuda/wide_stores.cuh"
#include "gaufuse/nms.h"

namespace gaufuse {
namespace {

// As in fuse_segments.cu, a round keeps the best remaining segment and in one pass drops what it
// suppresses and finds the next best.
template <typename T, typename Items, typename Group>
__device__ void suppress_group(const NmsParams<T>& params, int64_t group, int64_t count,
                               Group& team) {
  const int64_t first = group * params.capacity;
  const T* segments = params.segments + 2 * first;
  int64_t* keep = params.keep + first;
  const OverlapTest suppresses{Overlap::iou, 0.0, params.length_epsilon, params.iou_threshold,
                               false};

  Items items(team.rank(), segments, params.scores + first, count,
              large_workspace(params.workspace, params.capacity));
  Best pivot = team.reduce(best_of(items), MergeBest());

  int64_t kept = 0;
  for (; pivot.index >= 0; ++kept) {
    if (team.rank() == 0) keep[kept] = pivot.index;
    const StoredSegment<T> best = load_stored(segments, pivot.index);
    Best mine = no_segment();
    items.sweep([&](int64_t j, StoredSegment<T> candidate, double& score) {
      const bool drop = j == pivot.index || suppresses(best, candidate);
      if (!drop) mine = better(mine, Best{score, j});
      return !drop;
    });
    pivot = team.reduce(mine, MergeBest());
  }
  store_wide(keep + kept, params.capacity - kept, team.rank(), team.size,
             [](int64_t) { return int64_t(-1); });
}

template <typename T>
__global__ void __launch_bounds__(kGroupBlock, kGroupBlocks) nms_kernel(const NmsParams<T> params) {
  for_each_group<Best>(params.counts, params.groups, params.capacity,
                       [&](auto& team, auto store, int64_t group, int64_t count) {
                         using Items = ItemsOf<T, decltype(store), decltype(team)>;
                         suppress_group<T, Items>(params, group, count, team);
                       });
}

template <typename T>
__global__ void __launch_bounds__(kGroupBlock) large_nms_kernel(const NmsParams<T> params) {
  for_each_large_group<Best>(params.counts, params.groups, params.capacity,
                             [&](auto& team, auto store, int64_t group, int64_t count) {
                               using Items = ItemsOf<T, decltype(store), decltype(team)>;
                               suppress_group<T, Items>(params, group, count, team);
                             });
}

}  // namespace

template <typename T>
Status nms_cuda(const NmsParams<T>& params, void* stream) {
  return launch_groups("nms", nms_kernel<T>, large_nms_kernel<T>, params, stream);
}

template Status nms_cuda(const NmsParams<float>&, void*);
template Status nms_cuda(const NmsParams<double>&, void*);

}  // namespace gaufuse
