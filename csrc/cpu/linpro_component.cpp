#include "cpu/linpro_component.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gaufuse {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool covers(const LinproInstance& instance) { return instance.row.inside.size() > 0; }

}  // namespace

bool LinproComponent::solve(const LinproInstance* instances, int count, const LinproTerms& terms) {
  instances_ = instances;
  count_ = count;
  terms_ = terms;
  simplex_.pivots = 0;
  gap_ = 0.0;
  if (count > kMostInstances) return false;
  cut();
  const bool has_ring = std::any_of(instances, instances + count, [](const LinproInstance& x) {
    return x.row.ring.left.size() + x.row.ring.right.size() > 0;
  });
  if (count == 1 && (terms.formulation == Formulation::released || !has_ring)) return solve_alone();
  clip_confidences();
  return terms.formulation == Formulation::released ? solve_released() : solve_uniform();
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
// constant to |M x - q|. So no confidence, however large, costs the tableau its digits.
void LinproComponent::clip_confidences() {
  targets_.resize(count_);
  for (int i = 0; i < count_; ++i) {
    double least = 0.0;
    double most = 0.0;
    for (int c = 0; c < num_cells(); ++c) {
      const double amount = entry(i, c) * sizes_[c];
      (amount < 0.0 ? least : most) += amount;
    }
    targets_[i] = std::min(std::max(instances_[i].confidence, least - 1.0), most + 1.0);
  }
}

// One instance: closed forms.
bool LinproComponent::solve_alone() {
  const LinproInstance& instance = instances_[0];
  const double q = instance.confidence;
  const double inside = static_cast<double>(instance.row.inside.size());
  double level = 0.0;
  bool on_ring = false;
  if (terms_.formulation == Formulation::released) {
    on_ring = q < 0.0;
    const double size =
        on_ring
            ? static_cast<double>(instance.row.ring.left.size() + instance.row.ring.right.size())
            : inside;
    if (std::fabs(q) > size + kLinproGap) return false;
    level = size > 0.0 ? std::min(1.0, std::fabs(q) / size) : 0.0;
  } else if (terms_.confidence_weight + terms_.uniformity_weight >=
             terms_.sparsity_weight * inside) {
    level = std::min(std::max(q, 0.0), 1.0);
  }
  for (int c = 0; c < num_cells(); ++c)
    scores_[c] = (on_ring ? entry(0, c) < 0.0 : entry(0, c) > 0.0) ? level : 0.0;
  targets_.assign(1, q);
  evaluate();
  return true;
}

bool LinproComponent::solve_uniform() {
  if (!add_pieces()) return false;
  start_simplex();
  price(simplex_, cost_.data());
  if (!minimise(simplex_)) return false;
  const int pieces = static_cast<int>(cell_of_.size()) - 2 * count_;
  for (int j = 0; j < pieces; ++j) scores_[cell_of_[j]] += column_value(j);
  for (double& score : scores_) score = std::min(std::max(score, 0.0), 1.0);
  evaluate();

  // Any y with |y_i| <= a bounds the objective from below:
  //   sum_i y_i q_i + sum over cells of min over x in [0, 1] of f(x) - x sum_i y_i M_i n,
  // where f(x), convex with a piece for every column, is least piece by piece.
  double bound = 0.0;
  values_.resize(count_);  // from here on: y
  for (int i = 0; i < count_; ++i) {
    const double y = cost_[pieces + i] - reduced_[pieces + i];
    values_[i] = std::min(std::max(y, -terms_.confidence_weight), terms_.confidence_weight);
    bound += values_[i] * targets_[i];
  }
  for (int j = 0; j < pieces; ++j) {
    double reduced = cost_[j];
    for (int i = 0; i < count_; ++i)
      reduced -= values_[i] * entry(i, cell_of_[j]) * sizes_[cell_of_[j]];
    bound += std::min(reduced, 0.0) * upper_[j];
  }
  // f(0): what the pieces' costs start from.
  for (int i = 0; i < count_; ++i) {
    if (!covers(instances_[i])) continue;
    bound += terms_.uniformity_weight * std::fabs(targets_[i]);
  }
  return prove(bound);
}

// What a cell pays, sum_i b n / n_i |x - q_i| + g n x, is convex and piecewise linear: a column for
// every piece, bounded by its width and priced at its slope.
bool LinproComponent::add_pieces() {
  cell_of_.clear();
  scale_.clear();
  upper_.clear();
  cost_.clear();
  for (int c = 0; c < num_cells(); ++c) {
    covering_.clear();
    double slope = terms_.sparsity_weight * sizes_[c];
    const auto weight = [&](int i) {
      return terms_.uniformity_weight * sizes_[c] /
             static_cast<double>(instances_[i].row.inside.size());
    };
    for (int i = 0; i < count_; ++i) {
      if (!(entry(i, c) > 0.0)) continue;
      covering_.push_back(i);
      slope -= weight(i);
    }
    std::sort(covering_.begin(), covering_.end(), [&](int i, int j) {
      return targets_[i] < targets_[j] || (targets_[i] == targets_[j] && i < j);
    });
    double from = 0.0;
    for (const int i : covering_) {
      const double to = std::min(std::max(targets_[i], 0.0), 1.0);
      if (to > from) add_column(c, 1.0, to - from, slope);
      from = std::max(from, to);
      slope += 2.0 * weight(i);
    }
    if (from < 1.0) add_column(c, 1.0, 1.0 - from, slope);
    if (static_cast<int>(cell_of_.size()) > kMostColumns) return false;
  }
  for (int side = 0; side < 2; ++side)
    for (int i = 0; i < count_; ++i) add_column(-1, 0.0, kInfinity, terms_.confidence_weight);
  return true;
}

void LinproComponent::add_column(int cell, double scale, double upper, double cost) {
  cell_of_.push_back(cell);
  scale_.push_back(scale);
  upper_.push_back(upper);
  cost_.push_back(cost);
}

// Columns count the snippets' mass, n x, so that entries are +1, -1 and 0.
bool LinproComponent::solve_released() {
  cell_of_.clear();
  scale_.clear();
  upper_.clear();
  cost_.clear();
  const int cells = num_cells();
  for (int c = 0; c < cells; ++c) add_column(c, 1.0 / sizes_[c], sizes_[c], 0.0);
  for (int j = 0; j < 2 * count_; ++j) add_column(-1, 0.0, kInfinity, 1.0);

  // Phase 1: no amounts left. Then phase 2, in which they are not to come back.
  start_simplex();
  price(simplex_, cost_.data());
  if (!minimise(simplex_)) return false;
  double left = 0.0;
  double size = 1.0;
  for (int j = cells; j < cells + 2 * count_; ++j) left += column_value(j);
  for (int i = 0; i < count_; ++i) size += std::fabs(targets_[i]);
  if (left > kLinproGap * size) return false;
  for (int c = 0; c < cells; ++c) cost_[c] = 1.0;
  for (int j = cells; j < cells + 2 * count_; ++j) cost_[j] = upper_[j] = 0.0;
  price(simplex_, cost_.data());
  if (!minimise(simplex_)) return false;
  for (int c = 0; c < cells; ++c)
    scores_[c] = std::min(std::max(column_value(c) * scale_[c], 0.0), 1.0);
  evaluate();
  if (residual_ > kLinproGap * size) return false;

  // Any y bounds the objective from below: y q + sum over cells of n min(0, 1 - sum_i y_i M_i).
  double bound = 0.0;
  for (int i = 0; i < count_; ++i) bound -= reduced_[cells + i] * targets_[i];
  for (int c = 0; c < cells; ++c) {
    double reduced = 1.0;
    for (int i = 0; i < count_; ++i) reduced += reduced_[cells + i] * entry(i, c);
    bound += std::min(reduced, 0.0) * sizes_[c];
  }
  return prove(bound);
}

// The basis of amounts: row i holds M_i x + below_i - above_i = q_i, with its sign turned where q_i
// is negative.
void LinproComponent::start_simplex() {
  const int columns = static_cast<int>(cell_of_.size());
  const int cells_columns = columns - 2 * count_;
  tableau_.assign(static_cast<size_t>(count_) * columns, 0.0);
  values_.resize(count_);
  reduced_.resize(columns);
  basis_.resize(count_);
  basic_.assign(columns, 0);
  at_upper_.assign(columns, 0);
  for (int i = 0; i < count_; ++i) {
    const double sign = targets_[i] < 0.0 ? -1.0 : 1.0;
    double* row = tableau_.data() + static_cast<size_t>(i) * columns;
    for (int j = 0; j < cells_columns; ++j)
      row[j] = sign * entry(i, cell_of_[j]) * sizes_[cell_of_[j]] * scale_[j];
    row[cells_columns + i] = sign;
    row[cells_columns + count_ + i] = -sign;
    basis_[i] = cells_columns + (sign > 0.0 ? 0 : count_) + i;
    basic_[basis_[i]] = 1;
    values_[i] = sign * targets_[i];
  }
  const int pivots = simplex_.pivots;
  simplex_ = BoundedSimplex{count_,           columns,       tableau_.data(), values_.data(),
                            reduced_.data(),  upper_.data(), basis_.data(),   basic_.data(),
                            at_upper_.data(), pivots};
}

double LinproComponent::column_value(int column) const {
  if (!basic_[column]) return at_upper_[column] ? upper_[column] : 0.0;
  const int row =
      static_cast<int>(std::find(basis_.begin(), basis_.end(), column) - basis_.begin());
  return values_[row];
}

// Objective and residual of the scores, from the component's own data.
void LinproComponent::evaluate() {
  double mass = 0.0;
  for (int c = 0; c < num_cells(); ++c) mass += sizes_[c] * scores_[c];
  residual_ = 0.0;
  double target_residual = 0.0;
  double uniformity = 0.0;
  double target_uniformity = 0.0;
  for (int i = 0; i < count_; ++i) {
    double sum = 0.0;
    double deviation = 0.0;
    double target_deviation = 0.0;
    for (int c = 0; c < num_cells(); ++c) {
      sum += entry(i, c) * sizes_[c] * scores_[c];
      if (!(entry(i, c) > 0.0)) continue;
      deviation += sizes_[c] * std::fabs(scores_[c] - instances_[i].confidence);
      target_deviation += sizes_[c] * std::fabs(scores_[c] - targets_[i]);
    }
    residual_ += std::fabs(sum - instances_[i].confidence);
    target_residual += std::fabs(sum - targets_[i]);
    if (!covers(instances_[i])) continue;
    const double size = static_cast<double>(instances_[i].row.inside.size());
    uniformity += deviation / size;
    target_uniformity += target_deviation / size;
  }
  if (terms_.formulation == Formulation::released) {
    objective_ = target_objective_ = mass;
    return;
  }
  const double rest = terms_.sparsity_weight * mass;
  objective_ = terms_.confidence_weight * residual_ + terms_.uniformity_weight * uniformity + rest;
  target_objective_ = terms_.confidence_weight * target_residual +
                      terms_.uniformity_weight * target_uniformity + rest;
}

bool LinproComponent::prove(double bound) {
  gap_ = std::fabs(target_objective_ - bound) / std::max(1.0, std::fabs(target_objective_));
  return gap_ <= kLinproGap;  // false for NaN, too
}

}  // namespace gaufuse
