// threshold_proposals and count_proposals: runs by definition, and both agree.
#include "gaufuse/threshold_proposals.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "fuzz/harness.h"
#include "fuzz/scored_groups.h"

namespace gaufuse {
namespace {

// Proposals in the order of thresholds, then of time.
template <typename T>
std::vector<SnippetRange> find_runs(const ThresholdProposalsParams<T>& params, int64_t g) {
  const int64_t size = valid_count(params.lengths, g, params.num_snippets);
  const T* cas = params.cas + g * params.num_snippets;
  const double* thresholds =
      params.thresholds + (params.thresholds_per_group ? g * params.num_thresholds : 0);
  std::vector<SnippetRange> runs;
  for (int64_t h = 0; h < params.num_thresholds; ++h)
    for (int64_t start = 0, end = 0; start < size; start = end + 1) {
      for (end = start; end<size&& static_cast<double>(cas[end])> thresholds[h]; ++end) {
      }
      if (end > start && end - start >= params.min_length) runs.push_back({start, end});
    }
  return runs;
}

template <typename T>
void check_group(const ThresholdProposalsParams<T>& params, int64_t g, int64_t counted,
                 double largest) {
  const std::vector<SnippetRange> runs = find_runs(params, g);
  const int64_t found = static_cast<int64_t>(runs.size());
  CHECK(counted == found);
  CHECK(params.counts[g] == std::min(found, params.capacity));
  for (int64_t k = 0; k < params.capacity; ++k) {
    const int64_t i = g * params.capacity + k;
    const bool written = k < params.counts[g];
    CHECK(params.segments[2 * i] == (written ? static_cast<T>(runs[k].start) : T(0)));
    CHECK(params.segments[2 * i + 1] == (written ? static_cast<T>(runs[k].stop + 1) : T(0)));
    // Means are not much larger than what they are of. Sums of the largest numbers overflow.
    if (written && largest > 1e-6 * static_cast<double>(std::numeric_limits<T>::max())) continue;
    const double most = written ? 1e3 * largest : 0.0;
    CHECK(std::fabs(static_cast<double>(params.weights[i])) <= most);
    CHECK(std::fabs(static_cast<double>(params.scores[i])) <= 2.0 * most);
  }
}

template <typename T>
void run(Bytes& bytes) {
  bool valid = true;
  ThresholdProposalsParams<T> params{};
  params.groups = draw_size(bytes, 3);
  params.num_snippets = draw_size(bytes, bytes.one_in(16) ? 300 : 70);
  params.num_thresholds = bytes.upto(5);
  params.thresholds_per_group = bytes.one_in(2);
  const Array<int64_t> lengths = draw_counts(bytes, params.groups, params.num_snippets, valid);
  params.lengths = pointer_or_null(lengths, lengths.size() > 0);
  bool valid_values = true;
  const Array<T> cas =
      draw_values<T>(bytes, params.groups, params.num_snippets, params.lengths, valid_values);
  const int64_t rows = params.thresholds_per_group ? params.groups : 1;
  bool valid_thresholds = true;
  const Array<double> thresholds =
      draw_values<double>(bytes, rows, params.num_thresholds, nullptr, valid_thresholds);
  valid &= valid_values && (valid_thresholds || params.groups == 0);
  params.cas = cas.data();
  params.thresholds = thresholds.data();
  params.min_length = bytes.one_in(8) ? bytes.upto(100) + 1 : bytes.upto(3) + 1;
  params.capacity = bytes.upto(60);
  params.margin = bytes.not_negative();
  params.margin_power = bytes.one_in(2) ? 1.0 : bytes.not_negative();
  const int64_t size = params.groups * params.capacity;
  Array<T> segments = make_array<T>(bytes, 2 * size);
  Array<T> scores = make_array<T>(bytes, size);
  Array<T> weights = make_array<T>(bytes, size);
  Array<int64_t> counts = make_array<int64_t>(bytes, params.groups);
  Array<int64_t> counted = make_array<int64_t>(bytes, params.groups);
  params.counts = counted.data();
  accepted(count_proposals_cpu(params, 1), valid);
  params.segments = segments.data();
  params.scores = scores.data();
  params.weights = weights.data();
  params.counts = counts.data();
  if (!accepted(threshold_proposals_cpu(params, 1), valid)) return;
  for (int64_t g = 0; g < params.groups; ++g) {
    double largest = 0.0;
    for (int64_t t = 0; t < valid_count(params.lengths, g, params.num_snippets); ++t)
      largest = std::max(largest, std::fabs(static_cast<double>(cas[g * params.num_snippets + t])));
    check_group(params, g, counted[g], largest);
  }
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(threshold_proposals)
