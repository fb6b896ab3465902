// Average precision of resampled videos: matching is a video's own affair, so it is done once, and
// a video drawn w times counts w times, in precision and in recall.
//
// With W the weights of videos, a detection at rank n in video v raises the number of detections by
// W[v], and of true positives by as much if it found an instance; precision and its envelope are
// taken after it, and it adds its share W[v] of all weighted instances to recall. That is the
// average precision of the videos written down w times each: among copies of a true positive, which
// follow each other, precision is highest after the last.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/status.h"

namespace gaufuse {

struct BootstrapPrecisionParams {
  const int32_t* found_by;      // (num_instances, num_thresholds) as match_detections leaves them
  const int32_t* videos;        // (num_detections) in [0, num_videos)
  const int32_t* true_videos;   // (num_instances)
  const int32_t* true_classes;  // (num_instances); -1: left out
  const int64_t* order;         // (num_detections)
  const int64_t* offsets;       // (num_classes + 1)
  const int32_t* weights;       // (num_videos, num_samples) not negative
  double* precision;            // (num_classes, num_thresholds, num_samples) out; NaN: no instance
  int64_t num_detections;
  int64_t num_instances;
  int64_t num_thresholds;
  int64_t num_classes;
  int64_t num_videos;
  int64_t num_samples;
  GAUFUSE_FIELDS(found_by, videos, true_videos, true_classes, order, offsets, weights, precision,
                 num_detections, num_instances, num_thresholds, num_classes, num_videos,
                 num_samples)
};

Status bootstrap_precision_cpu(const BootstrapPrecisionParams& params, int threads);

}  // namespace gaufuse
