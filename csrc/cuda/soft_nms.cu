#include "cuda/for_each_group.cuh"
#include "cuda/wide_stores.cuh"
#include "gaufuse/soft_nms.h"

namespace gaufuse {
namespace {

// As in nms.cu, a round selects the best remaining segment and in one pass decays the others and
// finds the next best.
template <typename T, typename Items, typename Group>
__device__ void soft_suppress_group(const SoftNmsParams<T>& params, int64_t group, int64_t count,
                                    Group& team) {
  const int64_t first = group * params.capacity;
  const int64_t most = count < params.max_output ? count : params.max_output;
  const double inverse_sigma = 1.0 / params.sigma;
  const bool gaussian = params.decay == Decay::gaussian;
  const bool all = decays_all(params);
  const T* segments = params.segments + 2 * first;
  int64_t* keep = params.keep + first;
  T* kept_scores = params.kept_scores + first;

  Items items(team.rank(), segments, params.scores + first, count,
              large_workspace(params.workspace, params.capacity));
  Best pivot = team.reduce(best_of(items), MergeBest());

  int64_t selected = 0;
  while (selected < most && pivot.index >= 0) {
    if (team.rank() == 0) {
      keep[selected] = pivot.index;
      kept_scores[selected] = static_cast<T>(pivot.score);
    }
    ++selected;
    const StoredSegment<T> best = load_stored(segments, pivot.index);
    const double threshold = threshold_for(params, best.in_double());
    const OverlapTest decays{Overlap::iou, 0.0, params.length_epsilon, threshold, false};
    Best mine = no_segment();
    items.sweep([&](int64_t j, StoredSegment<T> segment, double& score) {
      if (j == pivot.index) return false;
      const bool by_weight = all || (best.meets(segment) && (gaussian || decays(best, segment)));
      if (by_weight) {  // otherwise the weight is 1
        const double iou = iou_of(best.in_double(), segment.in_double(), params.length_epsilon);
        score *= decay_weight(params.decay, iou, inverse_sigma, threshold);
      }
      if (!(score >= params.min_score)) return false;
      mine = better(mine, Best{score, j});
      return true;
    });
    pivot = team.reduce(mine, MergeBest());
  }

  if (team.rank() == 0) params.kept_counts[group] = selected;
  const int64_t padding = params.capacity - selected;
  store_wide(keep + selected, padding, team.rank(), team.size, [](int64_t) { return int64_t(-1); });
  store_zeros(kept_scores + selected, padding, team.rank(), team.size);
}

template <typename T>
__global__ void __launch_bounds__(kGroupBlock, kGroupBlocks)
    soft_nms_kernel(const SoftNmsParams<T> params) {
  for_each_group<Best>(params.counts, params.groups, params.capacity,
                       [&](auto& team, auto store, int64_t group, int64_t count) {
                         using Items = ItemsOf<T, decltype(store), decltype(team)>;
                         soft_suppress_group<T, Items>(params, group, count, team);
                       });
}

template <typename T>
__global__ void __launch_bounds__(kGroupBlock)
    large_soft_nms_kernel(const SoftNmsParams<T> params) {
  for_each_large_group<Best>(params.counts, params.groups, params.capacity,
                             [&](auto& team, auto store, int64_t group, int64_t count) {
                               using Items = ItemsOf<T, decltype(store), decltype(team)>;
                               soft_suppress_group<T, Items>(params, group, count, team);
                             });
}

}  // namespace

template <typename T>
Status soft_nms_cuda(const SoftNmsParams<T>& params, void* stream) {
  return launch_groups("soft_nms", soft_nms_kernel<T>, large_soft_nms_kernel<T>, params, stream);
}

template Status soft_nms_cuda(const SoftNmsParams<float>&, void*);
template Status soft_nms_cuda(const SoftNmsParams<double>&, void*);

}  // namespace gaufuse
