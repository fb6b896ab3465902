// Gaussian weighted fusion of scored segments (method section 3).
//
// Contract
// - Greedily, by score descending (ties: the lower index first), the best remaining segment is a
//   seed; its cluster is the seed and every remaining segment whose overlap with it is greater
//   than `threshold`. A cluster's segment and score are the means of its members weighted by
//   exp(weight / temperature), computed with the cluster's largest weight subtracted, so that
//   every finite input gives a finite output.
// - Clusters come in the order of their seeds. assignment[g, j] is j's cluster, shares[g, j] its
//   normalised weight there (they sum to one in each cluster; the gradient needs them).
// - Empty groups give a count of zero. Padding is written: zeros, and -1 in assignment.
// - Deterministic: the result does not depend on the number of threads or on the launch.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/scaled_sums.h"
#include "gaufuse/segment_overlap.h"
#include "gaufuse/status.h"

namespace gaufuse {

template <typename T>
struct FuseSegmentsParams {
  const T* segments;      // (groups, capacity, 2)
  const T* scores;        // (groups, capacity)
  const T* weights;       // (groups, capacity)
  const int64_t* counts;  // (groups,) or null
  T* fused_segments;      // (groups, capacity, 2)
  T* fused_scores;        // (groups, capacity)
  int64_t* fused_counts;  // (groups,)
  int64_t* assignment;    // (groups, capacity)
  T* shares;              // (groups, capacity)
  double* workspace;      // CUDA only: (greedy_workspace_segments(...), 2)
  int64_t groups;
  int64_t capacity;
  double temperature;
  double threshold;
  double length_offset;
  Overlap overlap;
  GAUFUSE_FIELDS(segments, scores, weights, counts, fused_segments, fused_scores, fused_counts,
                 assignment, shares, workspace, groups, capacity, temperature, threshold,
                 length_offset, overlap)
};

template <typename T>
Status fuse_segments_cpu(const FuseSegmentsParams<T>& params, int threads);
template <typename T>
Status fuse_segments_cuda(const FuseSegmentsParams<T>& params, void* stream);

}  // namespace gaufuse
