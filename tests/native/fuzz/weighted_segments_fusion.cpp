// weighted_segments_fusion: every segment in one cluster or left out, means within their members.
#include "gaufuse/weighted_segments_fusion.h"

#include <vector>

#include "fuzz/harness.h"
#include "fuzz/hull.h"
#include "fuzz/scored_groups.h"

namespace gaufuse {
namespace {

template <typename T>
void check_group(const ScoredGroups<T>& given, const WeightedSegmentsFusionParams<T>& params,
                 int64_t g) {
  const int64_t count = given.count(g);
  const int64_t first = g * given.capacity;
  const int64_t clusters = params.fused_counts[g];
  CHECK(clusters >= 0 && clusters <= count);
  std::vector<Hull> start(clusters);
  std::vector<Hull> end(clusters);
  std::vector<Hull> score(clusters);
  std::vector<double> members(clusters, 0.0);
  for (int64_t i = 0; i < count; ++i) {
    const Segment segment = load_segment(params.segments, first + i);
    const double own = static_cast<double>(params.scores[first + i]);
    const bool taken = own >= params.skip_below && segment.end > segment.start;
    const int64_t cluster = params.assignment[first + i];
    CHECK(taken ? cluster >= 0 && cluster < clusters : cluster == -1);
    if (!taken) continue;
    start[cluster].add(segment.start);
    end[cluster].add(segment.end);
    score[cluster].add(own);
    members[cluster] += 1.0;
  }
  for (int64_t k = 0; k < clusters; ++k) {
    CHECK(members[k] > 0.0);
    const T fused_start = params.fused_segments[2 * (first + k)];
    const T fused_end = params.fused_segments[2 * (first + k) + 1];
    CHECK(start[k].holds(fused_start) && end[k].holds(fused_end) && fused_start <= fused_end);
    const T fused = params.fused_scores[first + k];
    CHECK(fused >= T(0) && (k == 0 || fused <= params.fused_scores[first + k - 1]));
    if (params.confidence == Confidence::max) CHECK(score[k].holds(fused));
    if (!params.allows_overflow) {
      score[k].add(0.0);  // few models make it less
      CHECK(score[k].holds(fused));
    }
  }
  for (int64_t i = first + clusters; i < first + given.capacity; ++i) {
    CHECK(params.fused_segments[2 * i] == T(0) && params.fused_segments[2 * i + 1] == T(0));
    CHECK(params.fused_scores[i] == T(0));
  }
  for (int64_t i = first + count; i < first + given.capacity; ++i)
    CHECK(params.assignment[i] == -1);
}

template <typename T>
void run(Bytes& bytes) {
  const ScoredGroups<T> given(bytes);
  const int64_t size = given.groups * given.capacity;
  Array<T> fused_segments = make_array<T>(bytes, 2 * size);
  Array<T> fused_scores = make_array<T>(bytes, size);
  Array<int64_t> fused_counts = make_array<int64_t>(bytes, given.groups);
  Array<int64_t> assignment = make_array<int64_t>(bytes, size);
  WeightedSegmentsFusionParams<T> params{};
  params.segments = given.segments.data();
  params.scores = given.scores.data();
  params.counts = given.counts();
  params.fused_segments = fused_segments.data();
  params.fused_scores = fused_scores.data();
  params.fused_counts = fused_counts.data();
  params.assignment = assignment.data();
  params.groups = given.groups;
  params.capacity = given.capacity;
  params.iou_threshold = bytes.fraction();
  params.skip_below = bytes.one_in(2) ? 0.0 : bytes.not_negative();
  params.num_models = static_cast<double>(1 + bytes.upto(5));
  params.confidence = static_cast<Confidence>(bytes.upto(1));
  params.allows_overflow = bytes.one_in(2);
  if (!accepted(weighted_segments_fusion_cpu(params, 1), given.valid)) return;
  for (int64_t g = 0; g < given.groups; ++g) check_group(given, params, g);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(weighted_segments_fusion)
