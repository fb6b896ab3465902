// Checks of what match_detections hands to the operations after it.
#pragma once

#include <cstdint>

#include "cpu/check_values.h"
#include "cpu/id_groups.h"
#include "gaufuse/status.h"

namespace gaufuse {

template <typename Params>
Status check_ranked(const Params& params) {
  int64_t begin = 0;
  for (int64_t c = 0; c <= params.num_classes; ++c) {
    if (params.offsets[c] < begin || params.offsets[c] > params.num_detections)
      return make_status(Code::invalid_argument, "offsets[%lld] must not fall, nor exceed %lld",
                         static_cast<long long>(c), static_cast<long long>(params.num_detections));
    begin = params.offsets[c];
  }
  for (int64_t i = params.offsets[0]; i < begin; ++i)
    if (params.order[i] < 0 || params.order[i] >= params.num_detections)
      return make_status(Code::invalid_argument, "order[%lld] must lie in [0, %lld), got %lld",
                         static_cast<long long>(i), static_cast<long long>(params.num_detections),
                         static_cast<long long>(params.order[i]));
  GAUFUSE_RETURN_IF_BAD(
      check_ids("true_classes", params.true_classes, params.num_instances, -1, params.num_classes));
  return check_ids("found_by", params.found_by, params.num_instances * params.num_thresholds, -1,
                   params.num_detections);
}

}  // namespace gaufuse
