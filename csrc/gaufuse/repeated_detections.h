// Exact duplicates: detections whose video, class, boundaries and score all equal those of a
// detection of lower index.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/status.h"

namespace gaufuse {

struct RepeatedDetectionsParams {
  const double* segments;  // (num_detections, 2)
  const double* scores;    // (num_detections)
  const int32_t* videos;   // (num_detections) in [0, num_videos)
  const int32_t* classes;  // (num_detections)
  bool* repeated;          // (num_detections) out
  int64_t num_detections;
  int64_t num_videos;
  GAUFUSE_FIELDS(segments, scores, videos, classes, repeated, num_detections, num_videos)
};

Status repeated_detections_cpu(const RepeatedDetectionsParams& params, int threads);

}  // namespace gaufuse
