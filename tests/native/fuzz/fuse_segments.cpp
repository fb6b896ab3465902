// fuse_segments: clusters by definition; each is a mean of its members, within their bounds.
#include "gaufuse/fuse_segments.h"

#include <algorithm>
#include <vector>

#include "fuzz/harness.h"
#include "fuzz/hull.h"
#include "fuzz/scored_groups.h"

namespace gaufuse {
namespace {

// assignment is what greedy clustering gives; their number.
template <typename T>
int64_t check_clusters(const ScoredGroups<T>& given, const FuseSegmentsParams<T>& params,
                       int64_t g) {
  const int64_t count = given.count(g);
  const int64_t first = g * given.capacity;
  std::vector<int64_t> cluster_of(count, -1);
  int64_t clusters = 0;
  for (;; ++clusters) {
    int64_t seed = -1;
    for (int64_t i = 0; i < count; ++i)
      if (cluster_of[i] < 0 && (seed < 0 || params.scores[first + i] > params.scores[first + seed]))
        seed = i;
    if (seed < 0) break;
    cluster_of[seed] = clusters;
    for (int64_t i = 0; i < count; ++i)
      if (cluster_of[i] < 0 &&
          segment_overlap(load_segment(params.segments, first + seed),
                          load_segment(params.segments, first + i), params.overlap,
                          params.length_offset) > params.threshold)
        cluster_of[i] = clusters;
  }
  for (int64_t i = 0; i < count; ++i) CHECK(params.assignment[first + i] == cluster_of[i]);
  CHECK(params.fused_counts[g] == clusters);
  return clusters;
}

template <typename T>
void check_group(const ScoredGroups<T>& given, const FuseSegmentsParams<T>& params, int64_t g) {
  const int64_t first = g * given.capacity;
  const int64_t clusters = check_clusters(given, params, g);
  for (int64_t k = 0; k < clusters; ++k) {
    Hull start;
    Hull end;
    Hull score;
    double shares = 0.0;
    for (int64_t i = first; i < first + given.count(g); ++i) {
      if (params.assignment[i] != k) continue;
      start.add(params.segments[2 * i]);
      end.add(params.segments[2 * i + 1]);
      score.add(params.scores[i]);
      CHECK(params.shares[i] >= T(0) && params.shares[i] <= T(1));
      shares += static_cast<double>(params.shares[i]);
    }
    CHECK_NEAR(shares, 1.0, 1e-4);
    CHECK(start.holds(params.fused_segments[2 * (first + k)]));
    CHECK(end.holds(params.fused_segments[2 * (first + k) + 1]));
    CHECK(params.fused_segments[2 * (first + k)] <= params.fused_segments[2 * (first + k) + 1]);
    CHECK(score.holds(params.fused_scores[first + k]));
  }
  for (int64_t i = first + clusters; i < first + given.capacity; ++i) {
    CHECK(params.fused_segments[2 * i] == T(0) && params.fused_segments[2 * i + 1] == T(0));
    CHECK(params.fused_scores[i] == T(0));
  }
  for (int64_t i = first + given.count(g); i < first + given.capacity; ++i)
    CHECK(params.assignment[i] == -1 && params.shares[i] == T(0));
}

template <typename T>
void run(Bytes& bytes) {
  ScoredGroups<T> given(bytes);
  const int64_t size = given.groups * given.capacity;
  Array<T> weights;
  const bool aliased = bytes.one_in(2);  // as the default: weights are the scores
  if (!aliased)
    weights = draw_values<T>(bytes, given.groups, given.capacity, given.counts(), given.valid);
  Array<T> fused_segments = make_array<T>(bytes, 2 * size);
  Array<T> fused_scores = make_array<T>(bytes, size);
  Array<int64_t> fused_counts = make_array<int64_t>(bytes, given.groups);
  Array<int64_t> assignment = make_array<int64_t>(bytes, size);
  Array<T> shares = make_array<T>(bytes, size);
  FuseSegmentsParams<T> params{};
  params.segments = given.segments.data();
  params.scores = given.scores.data();
  params.weights = aliased ? given.scores.data() : weights.data();
  params.counts = given.counts();
  params.fused_segments = fused_segments.data();
  params.fused_scores = fused_scores.data();
  params.fused_counts = fused_counts.data();
  params.assignment = assignment.data();
  params.shares = shares.data();
  params.groups = given.groups;
  params.capacity = given.capacity;
  const double temperature = bytes.not_negative();
  params.temperature = temperature > 0.0 ? temperature : 0.2;
  params.threshold = bytes.one_in(4) ? bytes.number<double>(Style::special) : bytes.fraction();
  params.length_offset = bytes.one_in(2) ? 0.0 : bytes.not_negative();
  params.overlap = static_cast<Overlap>(bytes.upto(2));
  if (!accepted(fuse_segments_cpu(params, 1), given.valid)) return;
  for (int64_t g = 0; g < given.groups; ++g) check_group(given, params, g);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(fuse_segments)
