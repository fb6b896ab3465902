#include "cuda/for_each_group.cuh"
#include "cuda/wide_stores.cuh"
#include "gaufuse/weighted_segments_fusion.h"

namespace gaufuse {
namespace {

// A cluster as it lies in the workspace.
struct Cluster {
  FusedCluster sums;
  Segment fused;
  double score;
};
static_assert(sizeof(Cluster) == 8 * sizeof(double), "the workspace holds 8 doubles a segment");

// 1. Rank the usable segments by score: order[rank] = segment.
// 2. In that order, find the cluster whose fused segment overlaps a segment most, and add it.
//    Thread t of the team owns clusters t, t + size, ...: only it touches them, without barriers.
// 3. Rank the clusters by fused score and write them in that order.
template <typename T, typename Group>
__device__ void fuse_group(const WeightedSegmentsFusionParams<T>& params, int64_t group,
                           int64_t count, Group& team) {
  const T* segments = params.segments + 2 * group * params.capacity;
  const T* scores = params.scores + group * params.capacity;
  T* fused_segments = params.fused_segments + 2 * group * params.capacity;
  T* fused_scores = params.fused_scores + group * params.capacity;
  int64_t* assignment = params.assignment + group * params.capacity;
  int64_t* order = params.order + group * params.capacity;
  Cluster* clusters = reinterpret_cast<Cluster*>(params.clusters) + group * params.capacity;
  const auto usable = [&](int64_t j) {
    return static_cast<double>(scores[j]) >= params.skip_below &&
           segments[2 * j + 1] > segments[2 * j];
  };

  for (int64_t j = team.rank(); j < params.capacity; j += team.size) assignment[j] = order[j] = -1;
  team.sync();
  for (int64_t j = team.rank(); j < count; j += team.size) {
    if (!usable(j)) continue;
    const T score = scores[j];
    int64_t rank = 0;
    for (int64_t i = 0; i < count; ++i)
      rank += (scores[i] > score || (scores[i] == score && i < j)) && usable(i);
    order[rank] = j;
  }
  team.sync();

  int64_t num_clusters = 0;
  for (int64_t rank = 0; rank < count; ++rank) {
    const int64_t j = order[rank];
    if (j < 0) break;
    const double score = static_cast<double>(scores[j]);
    const Segment segment = load_segment(segments, j);
    Best mine = no_segment();
    for (int64_t k = team.rank(); k < num_clusters; k += team.size) {
      const double iou = segment_overlap(segment, clusters[k].fused, Overlap::iou, 0.0);
      if (iou > params.iou_threshold) mine = better(mine, Best{iou, k});
    }
    const Best match = team.reduce(mine, MergeBest());
    const bool opens = match.index < 0;
    const int64_t k = opens ? num_clusters : match.index;
    num_clusters += opens;
    if (k % team.size != team.rank()) continue;
    Cluster& cluster = clusters[k];
    if (opens) cluster = Cluster{FusedCluster{score, 0.0, 0.0, 0.0, 0.0}, segment, 0.0};
    cluster.sums.add(segment, score);
    if (!opens && cluster.sums.total > 0.0) cluster.fused = cluster.sums.mean();
    assignment[j] = k;
  }

  for (int64_t k = team.rank(); k < num_clusters; k += team.size)
    clusters[k].score =
        clusters[k].sums.score(params.confidence, params.num_models, params.allows_overflow);
  team.sync();
  for (int64_t k = team.rank(); k < num_clusters; k += team.size) {
    const double score = clusters[k].score;
    int64_t rank = 0;
    for (int64_t i = 0; i < num_clusters; ++i)
      rank += clusters[i].score > score || (clusters[i].score == score && i < k);
    order[k] = rank;
    fused_segments[2 * rank] = static_cast<T>(clusters[k].fused.start);
    fused_segments[2 * rank + 1] = static_cast<T>(clusters[k].fused.end);
    fused_scores[rank] = static_cast<T>(score);
  }
  team.sync();
  for (int64_t j = team.rank(); j < count; j += team.size)
    if (assignment[j] >= 0) assignment[j] = order[assignment[j]];
  const int64_t padding = params.capacity - num_clusters;
  store_zeros(fused_segments + 2 * num_clusters, 2 * padding, team.rank(), team.size);
  store_zeros(fused_scores + num_clusters, padding, team.rank(), team.size);
  if (team.rank() == 0) params.fused_counts[group] = num_clusters;
}

template <typename T>
__global__ void __launch_bounds__(kGroupBlock)
    weighted_segments_fusion_kernel(const WeightedSegmentsFusionParams<T> params) {
  for_each_group<Best>(params.counts, params.groups, params.capacity,
                       [&](auto& team, auto, int64_t group, int64_t count) {
                         fuse_group(params, group, count, team);
                       });
}

}  // namespace

template <typename T>
Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<T>& params, void* stream) {
  return launch_groups("weighted_segments_fusion", weighted_segments_fusion_kernel<T>, params,
                       stream);
}

template Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<float>&, void*);
template Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<double>&, void*);

}  // namespace gaufuse
