#include "gaufuse/threshold_proposals.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/compare_bits.h"
#include "cpu/parallel.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

// pow() is the dearest part of a proposal and depends on its length alone: remember it.
class ReachTable {
 public:
  void prepare(double margin, double margin_power, int64_t num_snippets) {
    if (margin != margin_ || margin_power != margin_power_) reach_.clear();
    margin_ = margin;
    margin_power_ = margin_power;
    if (static_cast<int64_t>(reach_.size()) <= num_snippets) reach_.resize(num_snippets + 1, -1.0);
  }

  double operator()(int64_t length) {
    double& reach = reach_[length];
    if (reach < 0.0) reach = ring_reach(length, margin_, margin_power_);
    return reach;
  }

 private:
  double margin_ = 0.0;
  double margin_power_ = 0.0;
  std::vector<double> reach_;
};

// Calls found(start, end) for every maximal run of values > threshold.
template <typename T, typename Found>
void for_each_run(const T* values, int64_t size, T threshold, Found found) {
  uint64_t last = 0;  // was the snippet before this word inside a run?
  int64_t start = 0;
  for (int64_t base = 0; base < size; base += 64) {
    const int width = static_cast<int>(std::min<int64_t>(64, size - base));
    const uint64_t bits = width == 64 ? greater_bits64(values + base, threshold)
                                      : greater_bits(values + base, threshold, width);
    uint64_t changes = bits ^ ((bits << 1) | last);
    if (width < 64) changes &= (uint64_t(1) << width) - 1;
    for (; changes != 0; changes &= changes - 1) {
      const int bit = __builtin_ctzll(changes);
      if ((bits >> bit) & 1)
        start = base + bit;
      else
        found(start, base + bit);
    }
    last = (bits >> (width - 1)) & 1;
  }
  if (last) found(start, size);
}

template <typename T>
class GroupProposals {
 public:
  GroupProposals(const ThresholdProposalsParams<T>& params, int64_t group,
                 std::vector<double>& prefix, ReachTable& reach)
      : params_(params), group_(group), prefix_(prefix), reach_(reach) {}

  void run() {
    const T* cas = params_.cas + group_ * params_.num_snippets;
    const int64_t size = valid_count(params_.lengths, group_, params_.num_snippets);
    prefix_.resize(params_.num_snippets + 1);
    prefix_[0] = 0.0;
    for (int64_t t = 0; t < size; ++t) prefix_[t + 1] = prefix_[t] + static_cast<double>(cas[t]);
    const double* thresholds =
        params_.thresholds + (params_.thresholds_per_group ? group_ * params_.num_thresholds : 0);
    for (int64_t h = 0; h < params_.num_thresholds; ++h)
      for_each_run(cas, size, round_down<T>(thresholds[h]),
                   [&](int64_t start, int64_t end) { emit(start, end, size); });
    params_.counts[group_] = count_;
    pad();
  }

 private:
  void emit(int64_t start, int64_t end, int64_t size) {
    if (end - start < params_.min_length || count_ == params_.capacity) return;
    const Contrast contrast =
        outer_inner_contrast(prefix_.data(), start, end, size, reach_(end - start));
    const int64_t slot = group_ * params_.capacity + count_++;
    params_.segments[2 * slot] = static_cast<T>(start);
    params_.segments[2 * slot + 1] = static_cast<T>(end + 1);
    params_.scores[slot] = static_cast<T>(contrast.score);
    params_.weights[slot] = static_cast<T>(contrast.inner);
  }

  void pad() {
    const int64_t first = group_ * params_.capacity + count_;
    const int64_t last = (group_ + 1) * params_.capacity;
    std::fill(params_.segments + 2 * first, params_.segments + 2 * last, T(0));
    std::fill(params_.scores + first, params_.scores + last, T(0));
    std::fill(params_.weights + first, params_.weights + last, T(0));
  }

  const ThresholdProposalsParams<T>& params_;
  const int64_t group_;
  std::vector<double>& prefix_;
  ReachTable& reach_;
  int64_t count_ = 0;
};

}  // namespace

template <typename T>
Status threshold_proposals_cpu(const ThresholdProposalsParams<T>& params, int threads) {
  GAUFUSE_RETURN_IF_BAD(
      check_counts("lengths", params.lengths, params.groups, params.num_snippets));
  GAUFUSE_RETURN_IF_BAD(
      check_finite("cas", params.cas, params.lengths, params.groups, params.num_snippets));
  GAUFUSE_RETURN_IF_BAD(check_finite("thresholds", params.thresholds, nullptr,
                                     params.thresholds_per_group ? params.groups : 1,
                                     params.num_thresholds));
  const int64_t work = params.num_snippets * (1 + params.num_thresholds);
  parallel_for(params.groups, grain_for(work), threads, [&](int64_t begin, int64_t end) {
    thread_local std::vector<double> prefix;
    thread_local ReachTable reach;
    reach.prepare(params.margin, params.margin_power, params.num_snippets);
    for (int64_t g = begin; g < end; ++g) GroupProposals<T>(params, g, prefix, reach).run();
  });
  return Status();
}

template Status threshold_proposals_cpu(const ThresholdProposalsParams<float>&, int);
template Status threshold_proposals_cpu(const ThresholdProposalsParams<double>&, int);

}  // namespace gaufuse
