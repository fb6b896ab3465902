// Soft non-maximum suppression of 1-D segments, batched over ragged groups.
//
// Contract
// - Repeatedly, the segment with the highest remaining score (ties: the lower index) is selected
//   and the scores of the others are multiplied by a weight of their IoU with it (decay_weight);
//   those whose score is then below min_score are dropped. It ends when none is left or max_output
//   are selected.
// - min_score is only looked at after a selection: the first selection of a group is made whatever
//   its score, and segments that begin below min_score are dropped right after it.
// - keep[g] lists the selected indices in that order, padded with -1; kept_scores[g] their decayed
//   scores, padded with 0; kept_counts[g] their number.
// - Scores decay in double and are rounded once, on output. The exponential is our own, so results
//   are equal to the bit on CPU and CUDA, for any number of threads.
#pragma once

#include <cstdint>

#include "gaufuse/exp_negative.h"
#include "gaufuse/fields.h"
#include "gaufuse/segment_overlap.h"
#include "gaufuse/status.h"

namespace gaufuse {

enum class Decay : int {
  gaussian = 0,        // exp(-IoU^2 / sigma)
  linear = 1,          // 1 - IoU where IoU >= iou_threshold
  hard = 2,            // 0 where IoU >= iou_threshold
  gaussian_above = 3,  // gaussian where IoU >= iou_threshold + threshold_growth * (length selected)
};

// IoU 0 gives 1 with every decay but hard at a threshold of 0.
GAUFUSE_HD double gaussian_decay(double iou, double inverse_sigma) {
  const double weight = exp_negative(-(iou * iou) * inverse_sigma);
  return iou > 0.0 ? weight : 1.0;
}

// `iou_threshold`: that of the selected segment, threshold_for.
GAUFUSE_HD double decay_weight(Decay decay, double iou, double inverse_sigma,
                               double iou_threshold) {
  if (decay == Decay::gaussian) return gaussian_decay(iou, inverse_sigma);
  if (!(iou >= iou_threshold)) return 1.0;
  if (decay == Decay::linear) return 1.0 - iou;
  if (decay == Decay::hard) return 0.0;
  return gaussian_decay(iou, inverse_sigma);
}

template <typename T>
struct SoftNmsParams {
  const T* segments;      // (groups, capacity, 2)
  const T* scores;        // (groups, capacity)
  const int64_t* counts;  // (groups,) or null
  int64_t* keep;          // (groups, capacity)
  T* kept_scores;         // (groups, capacity)
  int64_t* kept_counts;   // (groups,)
  double* workspace;      // CUDA only: (greedy_workspace_segments(...), 2)
  int64_t groups;
  int64_t capacity;
  int64_t max_output;
  double sigma;
  double iou_threshold;
  double threshold_growth;  // of gaussian_above, per unit of length
  double length_epsilon;    // added to every length
  double min_score;
  Decay decay;
  GAUFUSE_FIELDS(segments, scores, counts, keep, kept_scores, kept_counts, workspace, groups,
                 capacity, max_output, sigma, iou_threshold, threshold_growth, length_epsilon,
                 min_score, decay)
};

template <typename T>
GAUFUSE_HD double threshold_for(const SoftNmsParams<T>& params, Segment selected) {
  if (params.decay != Decay::gaussian_above) return params.iou_threshold;
  const double length = selected.end - selected.start + params.length_epsilon;
  return params.iou_threshold + params.threshold_growth * length;
}

// Whether segments that share nothing with the selected one decay, too.
template <typename T>
GAUFUSE_HD bool decays_all(const SoftNmsParams<T>& params) {
  return params.decay == Decay::hard && params.iou_threshold <= 0.0;
}

template <typename T>
Status soft_nms_cpu(const SoftNmsParams<T>& params, int threads);
template <typename T>
Status soft_nms_cuda(const SoftNmsParams<T>& params, void* stream);

}  // namespace gaufuse
