#include "cpu/linpro_component.h"

#include <algorithm>
#include <cmath>

namespace gaufuse {
namespace {

double clip(double value, double least, double most) {
  return std::min(std::max(value, least), most);
}

double inside_size(const LinproInstance& instance) {
  return static_cast<double>(instance.row.inside.size());
}

double ring_size(const LinproInstance& instance) {
  return static_cast<double>(instance.row.ring.left.size() + instance.row.ring.right.size());
}

}  // namespace

bool LinproComponent::solve(const LinproInstance* instances, int count, const LinproTerms& terms) {
  instances_ = instances;
  count_ = count;
  terms_ = terms;
  simplex_.pivots = 0;
  gap_ = 0.0;
  relaxed_ = false;
  if (count > kMostInstances) return false;
  cut();
  find_targets();
  const bool no_ring = count == 1 && ring_size(instances[0]) == 0.0;
  if (count == 1 && (terms.all_instances || no_ring)) return solve_alone();
  return solve_program();
}

// Cells lie between neighbouring boundaries of the rows' ranges.
void LinproComponent::cut() {
  cuts_.clear();
  const auto add = [&](SnippetRange range) {
    if (range.size() == 0) return;
    cuts_.push_back(range.start);
    cuts_.push_back(range.stop);
  };
  for (int i = 0; i < count_; ++i) {
    add(instances_[i].row.inside);
    add(instances_[i].row.ring.left);
    add(instances_[i].row.ring.right);
  }
  std::sort(cuts_.begin(), cuts_.end());
  cuts_.erase(std::unique(cuts_.begin(), cuts_.end()), cuts_.end());
  const int cells = std::max<int>(0, static_cast<int>(cuts_.size()) - 1);
  sizes_.resize(cells);
  entries_.resize(static_cast<size_t>(count_) * cells);
  scores_.assign(cells, 0.0);
  for (int c = 0; c < cells; ++c) sizes_[c] = static_cast<double>(cuts_[c + 1] - cuts_[c]);
  for (int i = 0; i < count_; ++i)
    for (int c = 0; c < cells; ++c)
      entries_[i * cells + c] = membership_value(instances_[i].row, cuts_[c]);
}

// What M x can reach, and one more, is as far as a confidence can pull: the rest of the way adds a
// constant to |M x - q|. So no confidence, however large, costs the tableau its digits. The same
// holds of the anchors, of which a convex combination cannot overflow.
void LinproComponent::find_targets() {
  const int cells = num_cells();
  targets_.resize(count_);
  for (int i = 0; i < count_; ++i) {
    double least = 0.0;
    double most = 0.0;
    for (int c = 0; c < cells; ++c) {
      const double amount = entry(i, c) * sizes_[c];
      (amount < 0.0 ? least : most) += amount;
    }
    targets_[i] = clip(instances_[i].confidence, least - 1.0, most + 1.0);
  }
  anchors_.assign(cells, 0.0);
  if (!(terms_.anchor > 0.0)) return;
  for (int c = 0; c < cells; ++c) {
    double total = 0.0;
    for (int i = 0; i < count_; ++i)
      if (covers(i, c)) total += instances_[i].weight;
    for (int i = 0; i < count_; ++i)
      if (covers(i, c)) anchors_[c] += instances_[i].weight / total * instances_[i].confidence;
  }
}

// Of |(M x)_i - q_i|, and of |x_t - q_i| at a snippet of the instance.
double LinproComponent::confidence_price(int instance) const {
  const double price = terms_.confidence * instances_[instance].weight;
  return terms_.per_snippet ? price * inside_size(instances_[instance]) : price;
}

double LinproComponent::uniformity_price(int instance) const {
  const double size = inside_size(instances_[instance]);
  const double price = terms_.uniformity * instances_[instance].weight;
  return terms_.per_snippet || size == 0.0 ? price : price / size;
}

// As far as an anchor can pull, as find_targets() says.
double LinproComponent::anchor_target(int cell) const { return clip(anchors_[cell], -1.0, 2.0); }

// One instance, without a ring or `released`: closed forms.
bool LinproComponent::solve_alone() {
  const LinproInstance& instance = instances_[0];
  const double q = instance.confidence;
  const double inside = inside_size(instance);
  double level = clip(q, 0.0, 1.0);
  bool on_ring = false;
  if (terms_.all_instances) {
    on_ring = q < 0.0;
    const double carriers = on_ring ? ring_size(instance) : inside;
    level = carriers > 0.0 ? std::min(1.0, std::fabs(q) / carriers) : 0.0;
    relaxed_ = std::fabs(q) > carriers + kLinproGap;
  } else if (terms_.hard) {
    relaxed_ = std::fabs(q - level) > kLinproGap;
  } else {
    const double gain = confidence_price(0) + inside * (uniformity_price(0) + terms_.anchor);
    if (gain < terms_.sparsity * inside) level = 0.0;
  }
  for (int c = 0; c < num_cells(); ++c)
    scores_[c] = (on_ring ? entry(0, c) < 0.0 : entry(0, c) > 0.0) ? level : 0.0;
  evaluate();
  return true;
}

// Objective and residual of the scores, from the component's own data.
void LinproComponent::evaluate() {
  const int cells = num_cells();
  objective_ = target_objective_ = residual_ = target_residual_ = 0.0;
  const auto add = [&](double price, double score, double confidence, double target) {
    objective_ += price * std::fabs(score - confidence);
    target_objective_ += price * std::fabs(score - target);
  };
  for (int i = 0; i < count_; ++i) {
    const double confidence = instances_[i].confidence;
    double sum = 0.0;
    for (int c = 0; c < cells; ++c) {
      sum += entry(i, c) * sizes_[c] * scores_[c];
      if (covers(i, c)) add(uniformity_price(i) * sizes_[c], scores_[c], confidence, targets_[i]);
    }
    residual_ += std::fabs(sum - confidence);
    target_residual_ += instances_[i].weight * std::fabs(sum - targets_[i]);
    if (!terms_.hard) add(confidence_price(i), sum, confidence, targets_[i]);
  }
  double rest = 0.0;
  for (int c = 0; c < cells; ++c) {
    rest += terms_.sparsity * sizes_[c] * scores_[c];
    double before = 0.0;  // weight of the instances that cover this cell and the one before
    bool covered = false;
    for (int i = 0; i < count_; ++i) {
      covered |= covers(i, c);
      if (c > 0 && covers(i, c - 1) && covers(i, c)) before += instances_[i].weight;
    }
    if (covered) add(terms_.anchor * sizes_[c], scores_[c], anchors_[c], anchor_target(c));
    if (before > 0.0) rest += terms_.variation * before * std::fabs(scores_[c] - scores_[c - 1]);
  }
  objective_ += rest;
  target_objective_ += rest;
}

}  // namespace gaufuse
