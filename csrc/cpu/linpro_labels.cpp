#include "gaufuse/linpro_labels.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/linpro_component.h"
#include "cpu/parallel.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

// Buffers that a thread keeps from group to group.
struct Scratch {
  std::vector<LinproInstance> instances;  // by begin
  LinproComponent component;
};

LinproInstance make_instance(const MembershipRow& row, double confidence, double weight,
                             int64_t num_snippets) {
  LinproInstance instance;
  instance.row = row;
  instance.confidence = confidence;
  instance.weight = weight;
  instance.begin = num_snippets;
  instance.end = 0;
  for (const SnippetRange range :
       {instance.row.inside, instance.row.ring.left, instance.row.ring.right}) {
    if (range.size() == 0) continue;
    instance.begin = std::min(instance.begin, range.start);
    instance.end = std::max(instance.end, range.stop);
  }
  return instance;
}

template <typename T>
class GroupLabels {
 public:
  GroupLabels(const LinproLabelsParams<T>& params, int64_t group, Scratch& scratch)
      : params_(params),
        scratch_(scratch),
        group_(group),
        count_(valid_count(params.counts, group, params.capacity)),
        num_snippets_(valid_count(params.lengths, group, params.num_snippets)),
        segments_(params.segments + 2 * group * params.capacity),
        scores_(params.scores + group * params.capacity),
        weights_(params.weights == nullptr ? nullptr : params.weights + group * params.capacity),
        labels_(params.labels + group * params.num_snippets) {}

  Status check() const {
    GAUFUSE_RETURN_IF_BAD(check_segments("segments", segments_, count_, group_));
    GAUFUSE_RETURN_IF_BAD(check_finite("scores", scores_, count_, group_));
    return weights_ == nullptr ? Status() : check_weights("weights", weights_, count_, group_);
  }

  void run() {
    std::fill(labels_, labels_ + params_.num_snippets, T(0));
    load();
    // A row is not zero on one stretch of snippets, so components are runs of stretches that
    // overlap.
    const std::vector<LinproInstance>& instances = scratch_.instances;
    size_t first = 0;
    while (first < instances.size() && !unsolved_) {
      int64_t end = instances[first].end;
      size_t last = first + 1;
      for (; last < instances.size() && instances[last].begin < end; ++last)
        end = std::max(end, instances[last].end);
      add_component(instances.data() + first, static_cast<int>(last - first));
      first = last;
    }
    write();
  }

 private:
  void load() {
    const LinproTerms& terms = params_.terms;
    scratch_.instances.clear();
    for (int64_t i = 0; i < count_ && num_snippets_ > 0; ++i) {
      const double weight = weights_ == nullptr ? 1.0 : static_cast<double>(weights_[i]);
      if (weight == 0.0) continue;
      const MembershipRow row = make_membership_row(
          static_cast<double>(segments_[2 * i]), static_cast<double>(segments_[2 * i + 1]),
          num_snippets_, params_.margin, params_.margin_power, terms.rows);
      const LinproInstance instance =
          make_instance(row, static_cast<double>(scores_[i]), weight, num_snippets_);
      if (terms.all_instances ? instance.end > 0 : instance.row.inside.size() > 0)
        scratch_.instances.push_back(instance);
      else if (terms.all_instances)
        miss(instance.confidence);
    }
    std::stable_sort(
        scratch_.instances.begin(), scratch_.instances.end(),
        [](const LinproInstance& a, const LinproInstance& b) { return a.begin < b.begin; });
  }

  // A confidence without a snippet to carry it cannot be met.
  void miss(double confidence) {
    residual_ += std::fabs(confidence);
    relaxed_ |= std::fabs(confidence) > kLinproGap;
  }

  void add_component(const LinproInstance* instances, int count) {
    LinproComponent& component = scratch_.component;
    if (!component.solve(instances, count, params_.terms)) {
      unsolved_ = true;
      return;
    }
    for (int c = 0; c < component.num_cells(); ++c)
      std::fill(labels_ + component.cell_begin(c), labels_ + component.cell_end(c),
                static_cast<T>(component.score(c)));
    objective_ += component.objective();
    residual_ += component.residual();
    gap_ = std::max(gap_, component.gap());
    pivots_ += component.pivots();
    relaxed_ |= component.relaxed();
    for (int i = 0; i < count; ++i) covered_ |= instances[i].row.inside.size() > 0;
  }

  void write() {
    if (unsolved_) std::fill(labels_, labels_ + params_.num_snippets, T(0));
    params_.objective[group_] = objective_;
    params_.residual[group_] = residual_;
    params_.gap[group_] = gap_;
    params_.pivots[group_] = pivots_;
    params_.status[group_] = static_cast<int64_t>(unsolved_  ? LinproStatus::unsolved
                                                  : relaxed_ ? LinproStatus::relaxed
                                                  : covered_ ? LinproStatus::optimal
                                                             : LinproStatus::empty);
  }

  const LinproLabelsParams<T>& params_;
  Scratch& scratch_;
  const int64_t group_;
  const int64_t count_;
  const int64_t num_snippets_;
  const T* segments_;
  const T* scores_;
  const T* weights_;  // null: ones
  T* labels_;
  double objective_ = 0.0;
  double residual_ = 0.0;
  double gap_ = 0.0;
  int64_t pivots_ = 0;
  bool covered_ = false;
  bool relaxed_ = false;
  bool unsolved_ = false;
};

}  // namespace

template <typename T>
Status linpro_labels_cpu(const LinproLabelsParams<T>& params, int threads) {
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, params.groups, params.capacity));
  GAUFUSE_RETURN_IF_BAD(
      check_counts("lengths", params.lengths, params.groups, params.num_snippets));
  FirstError error;
  parallel_for_groups(params.groups, params.counts, params.capacity, 1024, threads, [&](int64_t g) {
    GroupLabels<T> group(params, g, thread_scratch<Scratch>());
    if (!error.add(group.check(), g)) group.run();
  });
  return error.status();
}

template Status linpro_labels_cpu(const LinproLabelsParams<float>&, int);
template Status linpro_labels_cpu(const LinproLabelsParams<double>&, int);

}  // namespace gaufuse
