// segment_voting: a refined segment lies between those that vote for it, or stays what it was.
#include "gaufuse/segment_voting.h"

#include "fuzz/harness.h"
#include "fuzz/hull.h"
#include "fuzz/scored_groups.h"

namespace gaufuse {
namespace {

template <typename T>
void check_kept(const ScoredGroups<T>& given, const SegmentVotingParams<T>& params, int64_t g,
                int64_t k) {
  const int64_t at = g * params.num_kept + k;
  const Segment kept = load_segment(params.kept, at);
  Hull start;
  Hull end;
  start.add(kept.start);  // where nobody votes
  end.add(kept.end);
  for (int64_t i = 0; i < given.count(g); ++i) {
    const Segment segment = load_segment(params.segments, given.at(g, i));
    if (!(params.scores[given.at(g, i)] > T(0))) continue;
    if (!(iou_of(kept, segment, 0.0) >= params.iou_threshold)) continue;
    start.add(segment.start);
    end.add(segment.end);
  }
  constexpr double kLost = 1e-40;  // as gaufuse/segment_voting.h says
  CHECK(start.holds(params.refined[2 * at], kLost));
  CHECK(end.holds(params.refined[2 * at + 1], kLost));
  CHECK(params.refined[2 * at] <= params.refined[2 * at + 1]);
}

template <typename T>
void run(Bytes& bytes) {
  ScoredGroups<T> given(bytes);
  const int64_t num_kept = bytes.one_in(64) ? bytes.upto(150) : bytes.upto(8);
  const Array<int64_t> kept_counts = draw_counts(bytes, given.groups, num_kept, given.valid);
  SegmentVotingParams<T> params{};
  params.kept_counts = pointer_or_null(kept_counts, kept_counts.size() > 0);
  const Array<T> kept =
      draw_segments<T>(bytes, given.groups, num_kept, params.kept_counts, given.valid);
  Array<T> refined = make_array<T>(bytes, 2 * given.groups * num_kept);
  params.kept = kept.data();
  params.segments = given.segments.data();
  params.scores = given.scores.data();
  params.counts = given.counts();
  params.refined = refined.data();
  params.groups = given.groups;
  params.num_kept = num_kept;
  params.capacity = given.capacity;
  params.iou_threshold = bytes.fraction();
  params.weights_by_iou = bytes.one_in(2);
  if (!accepted(segment_voting_cpu(params, 1), given.valid)) return;
  for (int64_t g = 0; g < given.groups; ++g) {
    const int64_t count = valid_count(params.kept_counts, g, num_kept);
    for (int64_t k = 0; k < count; ++k) check_kept(given, params, g, k);
    for (int64_t i = 2 * (g * num_kept + count); i < 2 * (g + 1) * num_kept; ++i)
      CHECK(refined[i] == T(0));
  }
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(segment_voting)
