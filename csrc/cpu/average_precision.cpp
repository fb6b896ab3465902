#include "gaufuse/average_precision.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/id_groups.h"
#include "cpu/parallel.h"
#include "cpu/ranked_detections.h"

namespace gaufuse {
namespace {

// `ranks`: of the detections that found an instance, ascending, from 1; overwritten.
double envelope_area(std::vector<double>& ranks, double total) {
  // Precision is highest where a detection has just found something: the envelope needs no other.
  double highest = 0.0;
  for (size_t k = ranks.size(); k > 0; --k) {
    highest = std::max(highest, static_cast<double>(k) / ranks[k - 1]);
    ranks[k - 1] = highest;
  }
  double area = 0.0;
  for (size_t k = 0; k < ranks.size(); ++k) {
    const double step = static_cast<double>(k + 1) / total - static_cast<double>(k) / total;
    area += ranks[k] * step;
  }
  return area;
}

}  // namespace

Status average_precision_cpu(const AveragePrecisionParams& params, int threads) {
  const int64_t num_thresholds = params.num_thresholds;
  GAUFUSE_RETURN_IF_BAD(check_ranked(params));
  const IdGroups instances =
      group_by_id(params.true_classes, params.num_instances, params.num_classes);
  std::vector<int32_t> ranks(params.num_detections);
  parallel_for(params.num_classes, 1, threads, [&](int64_t begin, int64_t end) {
    std::vector<double>& found = thread_scratch<std::vector<double>>();
    for (int64_t c = begin; c < end; ++c) {
      const int64_t first = params.offsets[c];
      for (int64_t i = first; i < params.offsets[c + 1]; ++i)
        ranks[params.order[i]] = static_cast<int32_t>(i - first + 1);
      const int64_t total = instances.count(c);
      for (int64_t h = 0; h < num_thresholds; ++h) {
        found.clear();
        for (int64_t k = 0; k < total; ++k) {
          const int32_t d = params.found_by[instances.begin(c)[k] * num_thresholds + h];
          if (d >= 0) found.push_back(ranks[d]);
        }
        std::sort(found.begin(), found.end());
        params.precision[c * num_thresholds + h] =
            total > 0 ? envelope_area(found, static_cast<double>(total))
                      : std::numeric_limits<double>::quiet_NaN();
      }
    }
  });
  return Status();
}

}  // namespace gaufuse
