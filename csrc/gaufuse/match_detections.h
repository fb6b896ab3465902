// Greedy matching of detections to ground-truth instances (method section 6), of all classes and at
// all tIoU thresholds in one pass.
//
// In each class detections go by score, the highest first; of equal scores the lower index first.
// At each threshold a detection takes, of the instances of its video and class that are still free
// and whose IoU reaches the threshold, the one of highest IoU; of equal ones the lower index. That
// is ANETdetection's matching, with its ties decided, and W-TALC's.
//
// in_snippets (W-TALC): boundaries in seconds become whole snippets of 16 frames at 25 a second,
// those of instances and ambiguous intervals rounded (half to even), those of detections truncated;
// detections that then overlap an ambiguous interval of their video are left out.
#pragma once

#include <cmath>
#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/segment_overlap.h"
#include "gaufuse/status.h"

namespace gaufuse {

struct MatchDetectionsParams {
  const double* segments;            // (num_detections, 2)
  const double* scores;              // (num_detections)
  const int32_t* videos;             // (num_detections) in [0, num_videos)
  const int32_t* classes;            // (num_detections) in [0, num_classes); -1: left out
  const double* true_segments;       // (num_instances, 2)
  const int32_t* true_videos;        // (num_instances)
  const int32_t* true_classes;       // (num_instances); -1: left out
  const double* ambiguous_segments;  // (num_ambiguous, 2)
  const int32_t* ambiguous_videos;   // (num_ambiguous)
  const double* thresholds;          // (num_thresholds) positive, in any order
  int32_t* found_by;                 // (num_instances, num_thresholds) out: a detection, or -1
  int64_t* order;                    // (num_detections) out: detections by class, then by rank
  int64_t* offsets;                  // (num_classes + 1) out: where each class begins in order
  int64_t num_detections;
  int64_t num_instances;
  int64_t num_ambiguous;
  int64_t num_thresholds;
  int64_t num_classes;
  int64_t num_videos;
  bool in_snippets;
  GAUFUSE_FIELDS(segments, scores, videos, classes, true_segments, true_videos, true_classes,
                 ambiguous_segments, ambiguous_videos, thresholds, found_by, order, offsets,
                 num_detections, num_instances, num_ambiguous, num_thresholds, num_classes,
                 num_videos, in_snippets)
};

inline double snippets_of(double seconds) { return seconds * 25.0 / 16.0; }

inline Segment truncated_to_snippets(Segment seconds) {
  return Segment{std::trunc(snippets_of(seconds.start)), std::trunc(snippets_of(seconds.end))};
}

inline Segment rounded_to_snippets(Segment seconds) {
  return Segment{std::nearbyint(snippets_of(seconds.start)),
                 std::nearbyint(snippets_of(seconds.end))};
}

Status match_detections_cpu(const MatchDetectionsParams& params, int threads);

}  // namespace gaufuse
