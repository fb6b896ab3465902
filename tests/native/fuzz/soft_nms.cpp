// soft_nms against its definition: no tiles, no order of starts, equal to the bit.
#include "gaufuse/soft_nms.h"

#include <limits>
#include <vector>

#include "fuzz/harness.h"
#include "fuzz/scored_groups.h"

namespace gaufuse {
namespace {

template <typename T>
void check_group(const ScoredGroups<T>& given, const SoftNmsParams<T>& params, int64_t g) {
  constexpr double kGone = -std::numeric_limits<double>::infinity();
  const int64_t count = given.count(g);
  const int64_t first = g * given.capacity;
  std::vector<double> left(count);
  for (int64_t i = 0; i < count; ++i) left[i] = static_cast<double>(params.scores[first + i]);
  int64_t kept = 0;
  for (; kept < count && kept < params.max_output; ++kept) {
    int64_t best = -1;
    for (int64_t i = 0; i < count; ++i)
      if (left[i] != kGone && (best < 0 || left[i] > left[best])) best = i;
    if (best < 0) break;
    CHECK(params.keep[first + kept] == best);
    CHECK(params.kept_scores[first + kept] == static_cast<T>(left[best]));
    left[best] = kGone;
    const Segment selected = load_segment(params.segments, first + best);
    const double threshold = threshold_for(params, selected);
    for (int64_t i = 0; i < count; ++i) {
      if (left[i] == kGone) continue;
      const double iou =
          iou_of(selected, load_segment(params.segments, first + i), params.length_epsilon);
      const double score = left[i] * decay_weight(params.decay, iou, 1.0 / params.sigma, threshold);
      left[i] = score >= params.min_score ? score : kGone;
    }
  }
  CHECK(params.kept_counts[g] == kept);
  for (int64_t i = kept; i < given.capacity; ++i)
    CHECK(params.keep[first + i] == -1 && params.kept_scores[first + i] == T(0));
}

template <typename T>
void run(Bytes& bytes) {
  const ScoredGroups<T> given(bytes);
  const int64_t size = given.groups * given.capacity;
  Array<int64_t> keep = make_array<int64_t>(bytes, size);
  Array<T> kept_scores = make_array<T>(bytes, size);
  Array<int64_t> kept_counts = make_array<int64_t>(bytes, given.groups);
  SoftNmsParams<T> params{};
  params.segments = given.segments.data();
  params.scores = given.scores.data();
  params.counts = given.counts();
  params.keep = keep.data();
  params.kept_scores = kept_scores.data();
  params.kept_counts = kept_counts.data();
  params.groups = given.groups;
  params.capacity = given.capacity;
  params.max_output = bytes.one_in(2) ? given.capacity : bytes.upto(given.capacity + 2);
  const double sigma = bytes.not_negative();
  params.sigma = sigma > 0.0 ? sigma : 0.5;
  params.iou_threshold = bytes.fraction();
  params.threshold_growth = bytes.one_in(2) ? 0.0 : bytes.number<double>(Style::special);
  params.length_epsilon = bytes.one_in(2) ? 0.0 : bytes.not_negative();
  params.min_score = bytes.number<double>(bytes.one_in(2) ? Style::fractions : Style::special);
  params.decay = static_cast<Decay>(bytes.upto(3));
  if (!accepted(soft_nms_cpu(params, 1), given.valid)) return;
  for (int64_t g = 0; g < given.groups; ++g) check_group(given, params, g);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(soft_nms)
