// Pairwise IoU of two batches of segments: out[g, i, j] = |a_i and b_j| / |a_i or b_j|, zero where
// the union is empty. Computed in double, stored in the tensors' dtype.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/segment_overlap.h"
#include "gaufuse/status.h"

namespace gaufuse {

template <typename T>
struct SegmentIouParams {
  const T* a;  // (groups, num_a, 2)
  const T* b;  // (groups, num_b, 2)
  T* iou;      // (groups, num_a, num_b)
  int64_t groups;
  int64_t num_a;
  int64_t num_b;
  GAUFUSE_FIELDS(a, b, iou, groups, num_a, num_b)
};

template <typename T>
Status segment_iou_cpu(const SegmentIouParams<T>& params, int threads);
template <typename T>
Status segment_iou_cuda(const SegmentIouParams<T>& params, void* stream);

}  // namespace gaufuse
