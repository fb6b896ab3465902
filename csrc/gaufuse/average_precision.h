// Average precision of matched detections: the area under the monotone envelope of precision over
// recall, of every class and threshold (method section 6).
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/status.h"

namespace gaufuse {

struct AveragePrecisionParams {
  const int32_t* found_by;      // (num_instances, num_thresholds) as match_detections leaves them
  const int32_t* true_classes;  // (num_instances); -1: left out
  const int64_t* order;         // (num_detections)
  const int64_t* offsets;       // (num_classes + 1)
  double* precision;            // (num_classes, num_thresholds) out; NaN: a class without instances
  int64_t num_detections;
  int64_t num_instances;
  int64_t num_thresholds;
  int64_t num_classes;
  GAUFUSE_FIELDS(found_by, true_classes, order, offsets, precision, num_detections, num_instances,
                 num_thresholds, num_classes)
};

Status average_precision_cpu(const AveragePrecisionParams& params, int threads);

}  // namespace gaufuse
