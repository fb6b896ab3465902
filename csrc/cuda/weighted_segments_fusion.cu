#include "cuda/for_each_group.cuh"
#include "cuda/team_sort.cuh"
#include "cuda/wide_stores.cuh"
#include "gaufuse/overlap_test.h"
#include "gaufuse/weighted_segments_fusion.h"

namespace gaufuse {
namespace {

struct Cluster {
  FusedCluster sums;
  Segment fused;
  double score;
};

// A team's part of the workspace.
struct GroupMemory {
  Cluster* clusters;  // (size,)
  int64_t* order;     // (size,) usable segments, then clusters, by score
  int64_t* ranks;     // (size,) of clusters

  __device__ GroupMemory(double* workspace, int64_t first, int64_t size) {
    static_assert(sizeof(Cluster) / sizeof(double) + 2 == kWeightedWords, "what a segment takes");
    double* memory = workspace + first * kWeightedWords;
    clusters = reinterpret_cast<Cluster*>(memory);
    order = reinterpret_cast<int64_t*>(clusters + size);
    ranks = order + size;
  }
};

// 1. Sort the usable segments by score.
// 2. In that order, find the cluster whose fused segment overlaps a segment most, and add it.
//    Thread t of the team owns clusters t, t + size, ...: only it touches them, without barriers.
// 3. Sort the clusters by fused score and write them in that order.
template <typename T, typename Group>
__device__ void fuse_group(const WeightedSegmentsFusionParams<T>& params, int64_t group,
                           int64_t count, const GroupMemory& memory, Group& team) {
  const T* segments = params.segments + 2 * group * params.capacity;
  const T* scores = params.scores + group * params.capacity;
  T* fused_segments = params.fused_segments + 2 * group * params.capacity;
  T* fused_scores = params.fused_scores + group * params.capacity;
  int64_t* assignment = params.assignment + group * params.capacity;
  int64_t* order = memory.order;
  Cluster* clusters = memory.clusters;
  const auto usable = [&](int64_t j) {
    return static_cast<double>(scores[j]) >= params.skip_below &&
           segments[2 * j + 1] > segments[2 * j];
  };

  for (int64_t j = team.rank(); j < params.capacity; j += team.size) assignment[j] = -1;
  for (int64_t j = team.rank(); j < count; j += team.size) order[j] = j;
  team_sort(team, order, count, [&](int64_t a, int64_t b) {
    if (usable(a) != usable(b)) return usable(a);
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  });

  const OverlapTest joins{Overlap::iou, 0.0, 0.0, params.iou_threshold, true};
  int64_t num_clusters = 0;
  for (int64_t rank = 0; rank < count; ++rank) {
    const int64_t j = order[rank];
    if (!usable(j)) break;
    const double score = static_cast<double>(scores[j]);
    const Segment segment = load_segment(segments, j);
    Best mine = no_segment();
    for (int64_t k = team.rank(); k < num_clusters; k += team.size) {
      const Segment fused = clusters[k].fused;
      if (joins(segment, fused))
        mine = better(mine, Best{segment_overlap(segment, fused, Overlap::iou, 0.0), k});
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
  team.sync();  // the order of the segments has been read

  for (int64_t k = team.rank(); k < num_clusters; k += team.size) {
    order[k] = k;
    clusters[k].score =
        clusters[k].sums.score(params.confidence, params.num_models, params.allows_overflow);
  }
  team_sort(team, order, num_clusters, [&](int64_t a, int64_t b) {
    return clusters[a].score > clusters[b].score ||
           (clusters[a].score == clusters[b].score && a < b);
  });
  for (int64_t rank = team.rank(); rank < num_clusters; rank += team.size) {
    const Cluster& cluster = clusters[order[rank]];
    memory.ranks[order[rank]] = rank;
    fused_segments[2 * rank] = static_cast<T>(cluster.fused.start);
    fused_segments[2 * rank + 1] = static_cast<T>(cluster.fused.end);
    fused_scores[rank] = static_cast<T>(cluster.score);
  }
  team.sync();
  for (int64_t j = team.rank(); j < count; j += team.size)
    if (assignment[j] >= 0) assignment[j] = memory.ranks[assignment[j]];
  const int64_t padding = params.capacity - num_clusters;
  store_zeros(fused_segments + 2 * num_clusters, 2 * padding, team.rank(), team.size);
  store_zeros(fused_scores + num_clusters, padding, team.rank(), team.size);
  if (team.rank() == 0) params.fused_counts[group] = num_clusters;
  team.sync();  // before the next group overwrites the workspace
}

template <typename T>
__global__ void __launch_bounds__(kGroupBlock, kGroupBlocks)
    weighted_segments_fusion_kernel(const WeightedSegmentsFusionParams<T> params) {
  for_each_group<Best>(params.counts, params.groups, params.capacity,
                       [&](auto& team, auto, int64_t group, int64_t count) {
                         const int64_t of_block = weighted_block_segments(params.capacity);
                         const int64_t of_team = of_block * team.size / kGroupBlock;
                         const int64_t number = static_cast<int64_t>(threadIdx.x) / team.size;
                         const int64_t first = blockIdx.x * of_block + number * of_team;
                         fuse_group(params, group, count,
                                    GroupMemory(params.workspace, first, of_team), team);
                       });
}

template <typename T>
__global__ void __launch_bounds__(kGroupBlock)
    large_weighted_segments_fusion_kernel(const WeightedSegmentsFusionParams<T> params) {
  for_each_large_group<Best>(params.counts, params.groups, params.capacity,
                             [&](auto& team, auto, int64_t group, int64_t count) {
                               const GroupMemory memory(
                                   params.workspace, blockIdx.x * params.capacity, params.capacity);
                               fuse_group(params, group, count, memory, team);
                             });
}

}  // namespace

template <typename T>
Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<T>& params, void* stream) {
  return launch_groups("weighted_segments_fusion", weighted_segments_fusion_kernel<T>,
                       large_weighted_segments_fusion_kernel<T>, params, stream, kWeightedBlocks);
}

template Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<float>&, void*);
template Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<double>&, void*);

}  // namespace gaufuse
