// Voting: kept segments become means of the segments around them, batched over ragged groups.
//
// Contract
// - refined[g, k] is the mean of all segments of the group with IoU >= iou_threshold with
//   kept[g, k], weighted by their scores, or by score times IoU (weights_by_iou). Only positive
//   scores vote, so a refined segment lies between its voters (to rounding, and to 1e-40: of votes
//   of 2^-900 times smaller boundaries nothing is left). Where no segment votes it is kept[g,
//   k] itself: finite input gives finite output.
// - A weight below 2^-900 of the group's largest score counts as zero.
// - Padding is written: zeros past kept_counts[g].
// - Sums are made in double, in a fixed order: the same bits for any number of threads.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/scaled_sums.h"
#include "gaufuse/segment_overlap.h"
#include "gaufuse/status.h"

namespace gaufuse {

// Below this weight products with boundaries would come near the denormal numbers.
constexpr double kLeastVote = 0x1p-900;

// The weight of a score in units of 2^exponent.
GAUFUSE_HD double vote_of(double score, int exponent) {
  if (!(score > 0.0)) return 0.0;
  const double vote = in_units(score, exponent);
  return vote >= kLeastVote ? vote : 0.0;
}

// The same, weighted by IoU, too, where that is asked for.
GAUFUSE_HD double weighted_vote(double vote, double iou, bool by_iou) {
  const double weighted = vote * iou;
  if (!by_iou) return vote;
  return weighted >= kLeastVote ? weighted : 0.0;
}

template <typename T>
struct SegmentVotingParams {
  const T* kept;               // (groups, num_kept, 2)
  const T* segments;           // (groups, capacity, 2)
  const T* scores;             // (groups, capacity)
  const int64_t* kept_counts;  // (groups,) or null
  const int64_t* counts;       // (groups,) or null
  T* refined;                  // (groups, num_kept, 2)
  int64_t groups;
  int64_t num_kept;
  int64_t capacity;
  double iou_threshold;
  bool weights_by_iou;
  GAUFUSE_FIELDS(kept, segments, scores, kept_counts, counts, refined, groups, num_kept, capacity,
                 iou_threshold, weights_by_iou)
};

template <typename T>
Status segment_voting_cpu(const SegmentVotingParams<T>& params, int threads);
template <typename T>
Status segment_voting_cuda(const SegmentVotingParams<T>& params, void* stream);

}  // namespace gaufuse
