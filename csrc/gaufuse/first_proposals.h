// For each ground-truth instance and tIoU threshold, the rank in its video, by score (of equal ones
// the lower index first), of the first proposal that reaches it: what recall at any number of
// proposals follows from. Proposals have no class, and one may reach several instances.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/status.h"

namespace gaufuse {

struct FirstProposalsParams {
  const double* segments;       // (num_proposals, 2)
  const double* scores;         // (num_proposals)
  const int32_t* videos;        // (num_proposals) in [0, num_videos); -1: left out
  const double* true_segments;  // (num_instances, 2)
  const int32_t* true_videos;   // (num_instances)
  const double* thresholds;     // (num_thresholds) positive
  int32_t* ranks;               // (num_instances, num_thresholds) out, from 1; 0: none reaches it
  int64_t num_proposals;
  int64_t num_instances;
  int64_t num_thresholds;
  int64_t num_videos;
  GAUFUSE_FIELDS(segments, scores, videos, true_segments, true_videos, thresholds, ranks,
                 num_proposals, num_instances, num_thresholds, num_videos)
};

Status first_proposals_cpu(const FirstProposalsParams& params, int threads);

}  // namespace gaufuse
