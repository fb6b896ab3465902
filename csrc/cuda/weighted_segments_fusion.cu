#include <type_traits>

#include "cuda/block_reduce.cuh"
#include "cuda/launch.cuh"
#include "gaufuse/groups.h"
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

// One block per group.
// 1. Rank the usable segments by score: order[rank] = segment.
// 2. In that order, find the cluster whose fused segment overlaps a segment most, and add it.
// Thread
//    t owns clusters t, t + BLOCK, ...: only it reads and writes them, so no barrier is needed.
// 3. Rank the clusters by fused score and write them in that order.
template <typename T, int BLOCK>
__global__ void __launch_bounds__(BLOCK)
    weighted_segments_fusion_kernel(const WeightedSegmentsFusionParams<T> params) {
  __shared__ Best shared_best[2 * (BLOCK / 32)];
  int turn = 0;

  for (int64_t group = blockIdx.x; group < params.groups; group += gridDim.x) {
    const int64_t count = valid_count(params.counts, group, params.capacity);
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

    for (int64_t j = threadIdx.x; j < params.capacity; j += BLOCK) assignment[j] = order[j] = -1;
    __syncthreads();
    for (int64_t j = threadIdx.x; j < count; j += BLOCK) {
      if (!usable(j)) continue;
      const T score = scores[j];
      int64_t rank = 0;
      for (int64_t i = 0; i < count; ++i)
        rank += (scores[i] > score || (scores[i] == score && i < j)) && usable(i);
      order[rank] = j;
    }
    __syncthreads();

    int64_t num_clusters = 0;
    for (int64_t rank = 0; rank < count; ++rank) {
      const int64_t j = order[rank];
      if (j < 0) break;
      const double score = static_cast<double>(scores[j]);
      const Segment segment{static_cast<double>(segments[2 * j]),
                            static_cast<double>(segments[2 * j + 1])};
      Best mine = no_segment();
      for (int64_t k = threadIdx.x; k < num_clusters; k += BLOCK) {
        const double iou = segment_overlap(segment, clusters[k].fused, Overlap::iou, 0.0);
        if (iou > params.iou_threshold) mine = better(mine, Best{iou, k});
      }
      const Best match = best_of_block<BLOCK>(mine, shared_best, turn++);
      const bool opens = match.index < 0;
      const int64_t k = opens ? num_clusters : match.index;
      num_clusters += opens;
      if (k % BLOCK != threadIdx.x) continue;
      Cluster& cluster = clusters[k];
      if (opens) cluster = Cluster{FusedCluster{score, 0.0, 0.0, 0.0, 0.0}, segment, 0.0};
      cluster.sums.add(segment, score);
      if (!opens && cluster.sums.total > 0.0) cluster.fused = cluster.sums.mean();
      assignment[j] = k;
    }

    for (int64_t k = threadIdx.x; k < num_clusters; k += BLOCK)
      clusters[k].score =
          clusters[k].sums.score(params.confidence, params.num_models, params.allows_overflow);
    __syncthreads();
    for (int64_t k = threadIdx.x; k < num_clusters; k += BLOCK) {
      const double score = clusters[k].score;
      int64_t rank = 0;
      for (int64_t i = 0; i < num_clusters; ++i)
        rank += clusters[i].score > score || (clusters[i].score == score && i < k);
      order[k] = rank;
      fused_segments[2 * rank] = static_cast<T>(clusters[k].fused.start);
      fused_segments[2 * rank + 1] = static_cast<T>(clusters[k].fused.end);
      fused_scores[rank] = static_cast<T>(score);
    }
    __syncthreads();
    for (int64_t j = threadIdx.x; j < count; j += BLOCK)
      if (assignment[j] >= 0) assignment[j] = order[assignment[j]];
    for (int64_t k = num_clusters + threadIdx.x; k < params.capacity; k += BLOCK) {
      fused_segments[2 * k] = T(0);
      fused_segments[2 * k + 1] = T(0);
      fused_scores[k] = T(0);
    }
    if (threadIdx.x == 0) params.fused_counts[group] = num_clusters;
  }
}

}  // namespace

template <typename T>
Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<T>& params, void* stream) {
  if (params.groups == 0) return Status();
  dispatch_block_size(params.capacity, [&](auto block) {
    launch_kernel(weighted_segments_fusion_kernel<T, block.value>, grid_for(params.groups),
                  block.value, 0, stream, params);
  });
  return launch_status("weighted_segments_fusion");
}

template Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<float>&, void*);
template Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<double>&, void*);

}  // namespace gaufuse
