// Every operation on many groups: the same bits with one thread and with several, also while other
// threads are calling. Under ThreadSanitizer this finds races.
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "fuzz/check.h"
#include "fuzz/scored_groups.h"
#include "gaufuse/fuse_segments.h"
#include "gaufuse/interval_membership.h"
#include "gaufuse/linpro_labels.h"
#include "gaufuse/nms.h"
#include "gaufuse/segment_iou.h"
#include "gaufuse/segment_voting.h"
#include "gaufuse/soft_nms.h"
#include "gaufuse/threshold_proposals.h"
#include "gaufuse/weighted_segments_fusion.h"

namespace gaufuse {
namespace {

constexpr int64_t kGroups = 60;
constexpr int64_t kCapacity = 200;
constexpr int64_t kSnippets = 300;
constexpr int64_t kSize = kGroups * kCapacity;

// Ragged groups, the first of them large enough for every way of sorting.
template <typename T>
struct Input {
  std::vector<int64_t> counts;
  std::vector<int64_t> lengths;
  std::vector<T> segments;
  std::vector<T> scores;
  std::vector<T> cas;

  Input() {
    Bytes bytes(nullptr, 0);
    for (int64_t g = 0; g < kGroups; ++g) {
      counts.push_back(g == 0 ? kCapacity : bytes.upto(kCapacity / (1 + g % 7)));
      lengths.push_back(g == 0 ? kSnippets : bytes.upto(kSnippets));
    }
    for (int64_t i = 0; i < kSize; ++i) {
      const T start = static_cast<T>(bytes.upto(2000)) / T(8);
      segments.push_back(start);
      segments.push_back(start + static_cast<T>(bytes.upto(300)) / T(8));
      scores.push_back(static_cast<T>(bytes.upto(1000)) / T(1000));
    }
    for (int64_t i = 0; i < kGroups * kSnippets; ++i)
      cas.push_back(static_cast<T>(bytes.upto(1000)) / T(1000));
  }

  template <typename Params>
  void give(Params& params) const {
    params.segments = segments.data();
    params.scores = scores.data();
    params.counts = counts.data();
    params.groups = kGroups;
    params.capacity = kCapacity;
  }
};

// All that an operation wrote.
class Output {
 public:
  template <typename T>
  T* array(int64_t size) {
    arrays_.emplace_back(sizeof(T) * static_cast<size_t>(size), char(0x5a));
    return reinterpret_cast<T*>(arrays_.back().data());
  }
  bool operator==(const Output& other) const { return arrays_ == other.arrays_; }

 private:
  std::vector<std::vector<char>> arrays_;
};

using Operation = std::function<void(int threads, Output& output)>;

template <typename T>
std::vector<Operation> operations(const Input<T>& input) {
  std::vector<Operation> all;
  all.push_back([&](int threads, Output& output) {
    NmsParams<T> params{};
    input.give(params);
    params.keep = output.array<int64_t>(kSize);
    params.iou_threshold = 0.3;
    CHECK(nms_cpu(params, threads).ok());
  });
  all.push_back([&](int threads, Output& output) {
    SoftNmsParams<T> params{};
    input.give(params);
    params.keep = output.array<int64_t>(kSize);
    params.kept_scores = output.array<T>(kSize);
    params.kept_counts = output.array<int64_t>(kGroups);
    params.max_output = kCapacity;
    params.sigma = 0.5;
    params.min_score = 0.01;
    CHECK(soft_nms_cpu(params, threads).ok());
  });
  all.push_back([&](int threads, Output& output) {
    FuseSegmentsParams<T> params{};
    input.give(params);
    params.weights = params.scores;
    params.fused_segments = output.array<T>(2 * kSize);
    params.fused_scores = output.array<T>(kSize);
    params.fused_counts = output.array<int64_t>(kGroups);
    params.assignment = output.array<int64_t>(kSize);
    params.shares = output.array<T>(kSize);
    params.temperature = 0.2;
    params.threshold = 0.4;
    CHECK(fuse_segments_cpu(params, threads).ok());
  });
  all.push_back([&](int threads, Output& output) {
    WeightedSegmentsFusionParams<T> params{};
    input.give(params);
    params.fused_segments = output.array<T>(2 * kSize);
    params.fused_scores = output.array<T>(kSize);
    params.fused_counts = output.array<int64_t>(kGroups);
    params.assignment = output.array<int64_t>(kSize);
    params.iou_threshold = 0.5;
    params.num_models = 2.0;
    CHECK(weighted_segments_fusion_cpu(params, threads).ok());
  });
  all.push_back([&](int threads, Output& output) {
    SegmentVotingParams<T> params{};
    input.give(params);
    params.kept = params.segments;
    params.num_kept = kCapacity;
    params.kept_counts = params.counts;
    params.refined = output.array<T>(2 * kSize);
    params.iou_threshold = 0.5;
    CHECK(segment_voting_cpu(params, threads).ok());
  });
  all.push_back([&](int threads, Output& output) {
    SegmentIouParams<T> params{};
    params.a = params.b = input.segments.data();
    params.groups = kGroups;
    params.num_a = params.num_b = kCapacity;
    params.iou = output.array<T>(kSize * kCapacity);
    CHECK(segment_iou_cpu(params, threads).ok());
  });
  all.push_back([&](int threads, Output& output) {
    IntervalMembershipParams<T> params{};
    params.segments = input.segments.data();
    params.counts = input.counts.data();
    params.lengths = input.lengths.data();
    params.groups = kGroups;
    params.capacity = kCapacity;
    params.num_snippets = kSnippets;
    params.matrix = output.array<T>(kSize * kSnippets);
    params.margin = 0.3;
    params.margin_power = 0.9;
    params.mode = Membership::contrast_mean;
    CHECK(interval_membership_cpu(params, threads).ok());
  });
  all.push_back([&](int threads, Output& output) {
    const double thresholds[] = {0.2, 0.5, 0.8};
    ThresholdProposalsParams<T> params{};
    params.cas = input.cas.data();
    params.thresholds = thresholds;
    params.lengths = input.lengths.data();
    params.groups = kGroups;
    params.num_snippets = kSnippets;
    params.num_thresholds = 3;
    params.min_length = 1;
    params.counts = output.array<int64_t>(kGroups);
    CHECK(count_proposals_cpu(params, threads).ok());
    params.capacity = 300;
    params.segments = output.array<T>(2 * kGroups * 300);
    params.scores = output.array<T>(kGroups * 300);
    params.weights = output.array<T>(kGroups * 300);
    params.counts = output.array<int64_t>(kGroups);
    params.margin = 0.3;
    params.margin_power = 1.0;
    CHECK(threshold_proposals_cpu(params, threads).ok());
  });
  all.push_back([&](int threads, Output& output) {
    LinproLabelsParams<T> params{};
    input.give(params);
    params.lengths = input.lengths.data();
    params.num_snippets = kSnippets;
    params.labels = output.array<T>(kGroups * kSnippets);
    params.figures = output.array<double>(3 * kGroups);
    params.numbers = output.array<int64_t>(2 * kGroups);
    params.margin = 0.0785;
    params.margin_power = 0.9;
    params.terms = LinproTerms{0.08, 0.04, 1.0, 0.0, 1e-3, true, false, Membership::mean, false};
    CHECK(linpro_labels_cpu(params, threads).ok());
  });
  return all;
}

// The error of the lowest group, whichever thread meets one first.
void check_first_error(Input<float> input) {
  std::vector<int64_t> keep(kSize);
  for (int64_t g : {41, 7, 55}) input.scores[g * kCapacity] = std::nanf("");
  for (int64_t g : {41, 7, 55}) input.counts[g] = kCapacity;
  NmsParams<float> params{};
  input.give(params);
  params.keep = keep.data();
  for (int threads : {1, 4}) {
    const Status status = nms_cpu(params, threads);
    CHECK(status.code == Code::invalid_argument);
    CHECK(std::strstr(status.message, "[7, 0]") != nullptr);
  }
}

template <typename T>
void check_all() {
  const Input<T> input;
  for (const Operation& operation : operations(input)) {
    Output alone;
    operation(1, alone);
    for (int threads : {2, 4}) {
      Output shared;
      operation(threads, shared);
      CHECK(shared == alone);
    }
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; ++caller)
      callers.emplace_back([&] {
        Output own;
        operation(3, own);
        CHECK(own == alone);
      });
    for (std::thread& caller : callers) caller.join();
  }
}

}  // namespace
}  // namespace gaufuse

int main() {
  gaufuse::check_all<float>();
  gaufuse::check_all<double>();
  gaufuse::check_first_error(gaufuse::Input<float>());
  return 0;
}
