#include "gaufuse/threshold_proposals.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/compare_bits.h"
#include "cpu/multiversion.h"
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

// Calls found(start, end) for every maximal run of ones among the first `size` bits.
template <typename Found>
void for_each_run(const uint64_t* words, int64_t size, Found found) {
  uint64_t last = 0;  // was the snippet before this word inside a run?
  int64_t start = 0;
  for (int64_t base = 0; base < size; base += 64, ++words) {
    const uint64_t bits = *words;
    // Bits past the end are zero, so a run that reaches it ends there; the end of a run that
    // reaches a full word's end is found in the next word.
    uint64_t changes = bits ^ ((bits << 1) | last);
    for (; changes != 0; changes &= changes - 1) {
      const int bit = __builtin_ctzll(changes);
      if ((bits >> bit) & 1)
        start = base + bit;
      else
        found(start, base + bit);
    }
    last = bits >> 63;
  }
  if (last) found(start, size);
}

// How many runs of at least min_length ones there are. Clearing every one that has a zero within
// the next min_length - 1 bits leaves a run's first few, if it is long enough, and nothing else.
GAUFUSE_MULTIVERSION int64_t count_runs(const uint64_t* words, int64_t num_words,
                                        int64_t min_length) {
  int64_t count = 0;
  uint64_t last = 0;
  for (int64_t w = 0; w < num_words; ++w) {
    const uint64_t next = w + 1 < num_words ? words[w + 1] : 0;
    uint64_t long_enough = words[w];
    for (int64_t k = 1; k < min_length; ++k) long_enough &= (words[w] >> k) | (next << (64 - k));
    count += __builtin_popcountll(long_enough & ~((long_enough << 1) | last));
    last = long_enough >> 63;
  }
  return count;
}

struct Scratch {
  std::vector<uint64_t> words;
  std::vector<double> prefix;
  ReachTable reach;
};

// Calls found(words, size) with the bits of cas > threshold, threshold by threshold.
template <typename T, typename Found>
void for_each_threshold(const ThresholdProposalsParams<T>& params, int64_t group, Scratch& scratch,
                        Found found) {
  const T* cas = params.cas + group * params.num_snippets;
  const int64_t size = valid_count(params.lengths, group, params.num_snippets);
  const double* thresholds =
      params.thresholds + (params.thresholds_per_group ? group * params.num_thresholds : 0);
  scratch.words.resize(params.num_snippets / 64 + 1);
  for (int64_t h = 0; h < params.num_thresholds; ++h) {
    greater_bits(cas, size, round_down<T>(thresholds[h]), scratch.words.data());
    found(scratch.words.data(), size);
  }
}

template <typename T>
int64_t count_group(const ThresholdProposalsParams<T>& params, int64_t group, Scratch& scratch) {
  int64_t count = 0;
  for_each_threshold(params, group, scratch, [&](const uint64_t* words, int64_t size) {
    if (params.min_length <= 64)
      count += count_runs(words, (size + 63) / 64, params.min_length);
    else
      for_each_run(words, size,
                   [&](int64_t start, int64_t end) { count += end - start >= params.min_length; });
  });
  return count;
}

template <typename T>
Status check_group(const ThresholdProposalsParams<T>& params, int64_t group) {
  const int64_t size = valid_count(params.lengths, group, params.num_snippets);
  GAUFUSE_RETURN_IF_BAD(check_finite("cas", params.cas + group * params.num_snippets, size, group));
  const int64_t row = params.thresholds_per_group ? group : 0;
  return check_finite("thresholds", params.thresholds + row * params.num_thresholds,
                      params.num_thresholds, row);
}

// prefix: (size + 1,). Tiles do not wait for one another.
template <typename T>
void make_prefix_sums(const T* cas, int64_t size, double* prefix) {
  prefix[0] = 0.0;
  double before = 0.0;
  for (int64_t first = 0; first < size; first += kSumTile) {
    const int64_t end = std::min(first + kSumTile, size);
    double sum = 0.0;
    for (int64_t t = first; t < end; ++t) {
      sum += static_cast<double>(cas[t]);
      prefix[t + 1] = before + sum;
    }
    before += sum;
  }
}

template <typename T>
void write_group(const ThresholdProposalsParams<T>& params, int64_t group, Scratch& scratch) {
  const T* cas = params.cas + group * params.num_snippets;
  const int64_t size = valid_count(params.lengths, group, params.num_snippets);
  scratch.prefix.resize(params.num_snippets + 1);
  double* prefix = scratch.prefix.data();
  make_prefix_sums(cas, size, prefix);

  T* segments = params.segments + 2 * group * params.capacity;
  T* scores = params.scores + group * params.capacity;
  T* weights = params.weights + group * params.capacity;
  int64_t count = 0;
  const auto write = [&](int64_t start, int64_t end) {
    if (end - start < params.min_length || count == params.capacity) return;
    const Contrast contrast =
        outer_inner_contrast(prefix, start, end, size, scratch.reach(end - start));
    segments[2 * count] = static_cast<T>(start);
    segments[2 * count + 1] = static_cast<T>(end + 1);
    scores[count] = static_cast<T>(contrast.score);
    weights[count] = static_cast<T>(contrast.inner);
    ++count;
  };
  for_each_threshold(params, group, scratch, [&](const uint64_t* words, int64_t num_snippets) {
    for_each_run(words, num_snippets, write);
  });
  params.counts[group] = count;
  std::fill(segments + 2 * count, segments + 2 * params.capacity, T(0));
  std::fill(scores + count, scores + params.capacity, T(0));
  std::fill(weights + count, weights + params.capacity, T(0));
}

// Units of work of one group.
template <typename T>
int64_t group_work(const ThresholdProposalsParams<T>& params) {
  return params.num_snippets * (4 + params.num_thresholds);
}

}  // namespace

template <typename T>
Status count_proposals_cpu(const ThresholdProposalsParams<T>& params, int threads) {
  GAUFUSE_RETURN_IF_BAD(
      check_counts("lengths", params.lengths, params.groups, params.num_snippets));
  FirstError error;
  const int64_t grain = grain_for(group_work(params));
  parallel_for(params.groups, grain, threads, [&](int64_t begin, int64_t end) {
    Scratch& scratch = thread_scratch<Scratch>();
    for (int64_t g = begin; g < end; ++g)
      if (!error.add(check_group(params, g), g)) params.counts[g] = count_group(params, g, scratch);
  });
  return error.status();
}

template <typename T>
Status threshold_proposals_cpu(const ThresholdProposalsParams<T>& params, int threads) {
  GAUFUSE_RETURN_IF_BAD(
      check_counts("lengths", params.lengths, params.groups, params.num_snippets));
  FirstError error;
  const int64_t grain = grain_for(group_work(params));
  parallel_for(params.groups, grain, threads, [&](int64_t begin, int64_t end) {
    Scratch& scratch = thread_scratch<Scratch>();
    scratch.reach.prepare(params.margin, params.margin_power, params.num_snippets);
    for (int64_t g = begin; g < end; ++g)
      if (!error.add(check_group(params, g), g)) write_group(params, g, scratch);
  });
  return error.status();
}

template Status count_proposals_cpu(const ThresholdProposalsParams<float>&, int);
template Status count_proposals_cpu(const ThresholdProposalsParams<double>&, int);
template Status threshold_proposals_cpu(const ThresholdProposalsParams<float>&, int);
template Status threshold_proposals_cpu(const ThresholdProposalsParams<double>&, int);

}  // namespace gaufuse
