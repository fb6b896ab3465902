#include "gaufuse/nms.h"

#include <algorithm>

#include "cpu/check_values.h"
#include "cpu/parallel.h"
#include "cpu/score_order.h"
#include "cpu/segment_index.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

template <typename T>
struct Scratch {
  ScoreOrder<T> order;
  SegmentIndex index;
};

template <typename T>
Status check_group(const NmsParams<T>& params, int64_t group) {
  const int64_t count = valid_count(params.counts, group, params.capacity);
  GAUFUSE_RETURN_IF_BAD(
      check_segments("segments", params.segments + 2 * group * params.capacity, count, group));
  return check_finite("scores", params.scores + group * params.capacity, count, group);
}

template <typename T>
void nms_group(const NmsParams<T>& params, int64_t group, Scratch<T>& scratch) {
  const int64_t count = valid_count(params.counts, group, params.capacity);
  int64_t* keep = params.keep + group * params.capacity;
  const int32_t* order = scratch.order.sort(params.scores + group * params.capacity, count);
  // At a threshold of zero even segments far apart suppress each other.
  SegmentIndex& index = scratch.index;
  index.build(params.segments + 2 * group * params.capacity, count, params.iou_threshold > 0.0);
  int64_t kept = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (!index.alive(order[i])) continue;
    const Segment best = index.segment(order[i]);
    index.remove(order[i]);
    keep[kept++] = order[i];
    index.sweep(best, 0.0, [&](int32_t, Segment candidate) {
      return iou_of(best, candidate, params.length_epsilon) >= params.iou_threshold;
    });
  }
  std::fill(keep + kept, keep + params.capacity, int64_t(-1));
}

}  // namespace

template <typename T>
Status nms_cpu(const NmsParams<T>& params, int threads) {
  const int64_t groups = params.groups;
  const int64_t capacity = params.capacity;
  GAUFUSE_RETURN_IF_BAD(check_group_size(capacity));
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, groups, capacity));
  FirstError error;
  parallel_for_groups(groups, params.counts, capacity, 64, threads, [&](int64_t g) {
    if (!error.add(check_group(params, g), g)) nms_group(params, g, thread_scratch<Scratch<T>>());
  });
  return error.status();
}

template Status nms_cpu(const NmsParams<float>&, int);
template Status nms_cpu(const NmsParams<double>&, int);

}  // namespace gaufuse
