// 1-D weighted boxes fusion, batched over ragged groups (a group: one class of one video).
//
// Contract
// - Segments with a score below skip_below (which is at least 0) or without length are left out.
// - By score descending (ties: the lower index first), a segment joins the cluster whose fused
//   segment has the highest IoU with it (ties: the cluster opened first), if that IoU is greater
//   than iou_threshold; otherwise it opens a cluster. A fused segment is the mean of its members so
//   far, weighted by their scores; while those sum to zero it is the one that opened the cluster.
// - The fused score is the mean (average) or the largest (max) of the members' scores. The mean is
//   multiplied by min(members, num_models) / num_models, or by members / num_models where
//   allows_overflow.
// - Clusters come by fused score descending (ties: the one opened first). assignment[g, j] is j's
//   cluster, -1 for what was left out. Padding is written: zeros, and -1 in assignment.
// - Everything is computed in double, in a fixed order: the same bits on CPU and CUDA.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/groups.h"
#include "gaufuse/scaled_sums.h"
#include "gaufuse/segment_overlap.h"
#include "gaufuse/status.h"

namespace gaufuse {

enum class Confidence : int {
  average = 0,
  max = 1,
};

// Sums of a cluster, in units of 2^exponent_of(first_score): that score is its largest.
struct FusedCluster {
  double first_score;
  double total;
  double start_sum;
  double end_sum;
  double members;

  GAUFUSE_HD void add(Segment segment, double score) {
    const double weight = in_units(score, exponent_of(first_score));
    total += weight;
    start_sum += weight * (segment.start * kHeadroom);
    end_sum += weight * (segment.end * kHeadroom);
    members += 1.0;
  }

  GAUFUSE_HD Segment mean() const {
    return Segment{scaled_mean(start_sum, total), scaled_mean(end_sum, total)};
  }

  GAUFUSE_HD double score(Confidence confidence, double num_models, bool allows_overflow) const {
    if (confidence == Confidence::max) return first_score;
    const double counted = allows_overflow || members < num_models ? members : num_models;
    return scalbn(total / members * counted / num_models, exponent_of(first_score));
  }
};

template <typename T>
struct WeightedSegmentsFusionParams {
  const T* segments;      // (groups, capacity, 2)
  const T* scores;        // (groups, capacity)
  const int64_t* counts;  // (groups,) or null
  T* fused_segments;      // (groups, capacity, 2)
  T* fused_scores;        // (groups, capacity)
  int64_t* fused_counts;  // (groups,)
  int64_t* assignment;    // (groups, capacity)
  double* workspace;      // CUDA only: (weighted_workspace_segments(...), kWeightedWords)
  int64_t groups;
  int64_t capacity;
  double iou_threshold;
  double skip_below;
  double num_models;
  Confidence confidence;
  bool allows_overflow;
  GAUFUSE_FIELDS(segments, scores, counts, fused_segments, fused_scores, fused_counts, assignment,
                 workspace, groups, capacity, iou_threshold, skip_below, num_models, confidence,
                 allows_overflow)
};

// CUDA: what a segment takes of the workspace, in doubles. Blocks have parts of it, one after the
// other in either kernel: at most kWeightedBlocks those of groups that would fit on chip,
// kLargeGroupBlocks those of larger ones.
constexpr int64_t kWeightedWords = 10;
constexpr int64_t kWeightedBlocks = 512;

GAUFUSE_HD int64_t weighted_block_segments(int64_t capacity) {
  const int64_t of_warps = 8 * capacity;  // a group each
  return of_warps < kOnChipSegments ? of_warps : kOnChipSegments;
}

GAUFUSE_HD int64_t weighted_workspace_segments(int64_t groups, int64_t capacity) {
  const int64_t blocks = 2 * groups < kWeightedBlocks ? 2 * groups : kWeightedBlocks;
  const int64_t small = blocks * weighted_block_segments(capacity);
  const int64_t large = greedy_workspace_segments(groups, capacity);
  return small > large ? small : large;
}

template <typename T>
Status weighted_segments_fusion_cpu(const WeightedSegmentsFusionParams<T>& params, int threads);
template <typename T>
Status weighted_segments_fusion_cuda(const WeightedSegmentsFusionParams<T>& params, void* stream);

}  // namespace gaufuse
