// Greedy 1-D non-maximum suppression, batched over ragged groups.
//
// Contract
// - By score descending (ties: the lower index first), the best remaining segment is kept and every
//   remaining one with IoU >= iou_threshold is dropped (the convention of 1-D detection code;
//   torchvision drops at IoU > threshold).
// - keep[g] lists the kept indices in that order, padded with -1. Empty groups keep nothing.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/segment_overlap.h"
#include "gaufuse/status.h"

namespace gaufuse {

template <typename T>
struct NmsParams {
  const T* segments;      // (groups, capacity, 2)
  const T* scores;        // (groups, capacity)
  const int64_t* counts;  // (groups,) or null
  int64_t* keep;          // (groups, capacity)
  double* workspace;      // CUDA only: (greedy_workspace_segments(...), 2)
  int64_t groups;
  int64_t capacity;
  double iou_threshold;
  double length_epsilon;  // added to every length
  GAUFUSE_FIELDS(segments, scores, counts, keep, workspace, groups, capacity, iou_threshold,
                 length_epsilon)
};

template <typename T>
Status nms_cpu(const NmsParams<T>& params, int threads);
template <typename T>
Status nms_cuda(const NmsParams<T>& params, void* stream);

}  // namespace gaufuse
