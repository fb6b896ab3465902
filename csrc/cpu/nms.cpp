#include "gaufuse/nms.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/parallel.h"
#include "cpu/score_order.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

struct Scratch {
  std::vector<int32_t> order;
  std::vector<Segment> remaining;
};

template <typename T>
void nms_group(const NmsParams<T>& params, int64_t group, Scratch& scratch) {
  const int64_t count = valid_count(params.counts, group, params.capacity);
  const T* segments = params.segments + 2 * group * params.capacity;
  int64_t* keep = params.keep + group * params.capacity;
  score_order(params.scores + group * params.capacity, count, scratch.order);
  scratch.remaining.resize(count);
  int32_t* order = scratch.order.data();
  Segment* remaining = scratch.remaining.data();
  for (int64_t i = 0; i < count; ++i)
    remaining[i] = Segment{static_cast<double>(segments[2 * order[i]]),
                           static_cast<double>(segments[2 * order[i] + 1])};
  int64_t kept = 0;
  for (int64_t alive = count; alive > 0;) {
    const Segment pivot = remaining[0];
    keep[kept++] = order[0];
    int64_t left = 0;
    for (int64_t i = 1; i < alive; ++i) {
      const Segment candidate = remaining[i];
      order[left] = order[i];
      remaining[left] = candidate;
      left += !(segment_overlap(pivot, candidate, Overlap::iou, 0.0) >= params.iou_threshold);
    }
    alive = left;
  }
  std::fill(keep + kept, keep + params.capacity, int64_t(-1));
}

}  // namespace

template <typename T>
Status nms_cpu(const NmsParams<T>& params, int threads) {
  const int64_t groups = params.groups;
  const int64_t capacity = params.capacity;
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, groups, capacity));
  GAUFUSE_RETURN_IF_BAD(
      check_segments("segments", params.segments, params.counts, groups, capacity));
  GAUFUSE_RETURN_IF_BAD(check_finite("scores", params.scores, params.counts, groups, capacity));
  parallel_for(groups, grain_for(32 * capacity), threads, [&](int64_t begin, int64_t end) {
    thread_local Scratch scratch;
    for (int64_t g = begin; g < end; ++g) nms_group(params, g, scratch);
  });
  return Status();
}

template Status nms_cpu(const NmsParams<float>&, int);
template Status nms_cpu(const NmsParams<double>&, int);

}  // namespace gaufuse
