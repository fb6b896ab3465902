// nms: greedy by definition, looked at from every side.
#include "gaufuse/nms.h"

#include <vector>

#include "fuzz/harness.h"
#include "fuzz/scored_groups.h"

namespace gaufuse {
namespace {

template <typename T>
void check_group(const ScoredGroups<T>& given, const NmsParams<T>& params, int64_t g) {
  const int64_t count = given.count(g);
  const int64_t* keep = params.keep + g * given.capacity;
  int64_t kept = 0;
  while (kept < given.capacity && keep[kept] >= 0) ++kept;
  for (int64_t i = kept; i < given.capacity; ++i) CHECK(keep[i] == -1);
  std::vector<int64_t> rank(count, -1);
  for (int64_t k = 0; k < kept; ++k) {
    CHECK(keep[k] < count && rank[keep[k]] < 0);
    rank[keep[k]] = k;
  }
  const T* scores = params.scores + g * given.capacity;
  const auto before = [&](int64_t i, int64_t j) {
    return scores[i] > scores[j] || (scores[i] == scores[j] && i < j);
  };
  const auto drops = [&](int64_t i, int64_t j) {
    return iou_of(load_segment(params.segments, given.at(g, i)),
                  load_segment(params.segments, given.at(g, j)),
                  params.length_epsilon) >= params.iou_threshold;
  };
  for (int64_t k = 1; k < kept; ++k) CHECK(before(keep[k - 1], keep[k]));
  for (int64_t j = 0; j < count; ++j) {
    bool dropped = false;  // by one that was kept before it
    for (int64_t k = 0; k < kept && !dropped; ++k)
      dropped = keep[k] != j && before(keep[k], j) && drops(keep[k], j);
    CHECK(dropped == (rank[j] < 0));
  }
}

template <typename T>
void run(Bytes& bytes) {
  const ScoredGroups<T> given(bytes);
  Array<int64_t> keep = make_array<int64_t>(bytes, given.groups * given.capacity);
  NmsParams<T> params{};
  params.segments = given.segments.data();
  params.scores = given.scores.data();
  params.counts = given.counts();
  params.keep = keep.data();
  params.groups = given.groups;
  params.capacity = given.capacity;
  params.iou_threshold = bytes.fraction();
  params.length_epsilon = bytes.one_in(2) ? 0.0 : bytes.not_negative();
  if (!accepted(nms_cpu(params, 1), given.valid)) return;
  for (int64_t g = 0; g < given.groups; ++g) check_group(given, params, g);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(nms)
