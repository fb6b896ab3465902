// The linear program of a component: columns, simplex, proof.
#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/linpro_component.h"

namespace gaufuse {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLockFrom = 1e-9;  // reduced costs of phase 1 from here on are not zero

double clip(double value, double most) { return std::min(std::max(value, -most), most); }

}  // namespace

bool LinproComponent::solve_program() {
  add_pieces();
  add_pairs();
  const int64_t columns = num_pieces_ + 2 * num_rows();
  if (columns * num_rows() > kMostEntries) return false;
  add_amounts();
  start_simplex();
  return terms_.hard ? solve_hard() : solve_elastic();
}

bool LinproComponent::solve_elastic() {
  for (int i = 0; i < count_; ++i) cost_[below(i)] = cost_[above(i)] = confidence_price(i);
  price_pairs();
  if (!minimise_costs()) return false;
  read_scores();
  read_duals();
  for (int i = 0; i < count_; ++i) duals_[i] = clip(duals_[i], confidence_price(i));
  return prove(target_objective_, constant_ + bound_of_duals());
}

// Two phases: the least residual, then the least cost at it.
bool LinproComponent::solve_hard() {
  piece_costs_.assign(cost_.begin(), cost_.begin() + num_pieces_);
  std::fill(cost_.begin(), cost_.begin() + num_pieces_, 0.0);
  for (int i = 0; i < count_; ++i) cost_[below(i)] = cost_[above(i)] = instances_[i].weight;
  if (!minimise_costs()) return false;
  read_scores();
  double size = 1.0;
  for (int i = 0; i < count_; ++i) size += instances_[i].weight * std::fabs(targets_[i]);
  relaxed_ = target_residual_ > kLinproGap * size;
  return relaxed_ ? solve_relaxed() : solve_met(size);
}

// Phase 2 where the constraints can be met: no amount may come back.
bool LinproComponent::solve_met(double size) {
  start_phase_two();
  for (int i = 0; i < count_; ++i) upper_[below(i)] = upper_[above(i)] = 0.0;
  if (!minimise_costs()) return false;
  read_scores();
  if (target_residual_ > kLinproGap * size) return false;
  read_duals();
  return prove(target_objective_, constant_ + bound_of_duals());
}

// Phase 2 where they cannot. A column with a reduced cost in phase 1 stands at its bound in every
// solution of phase 1, so it is left there. Proof: the residual by the duals of phase 1, the
// objective by those of the program with the residual bounded, whose price is `penalty`.
bool LinproComponent::solve_relaxed() {
  read_duals();
  least_duals_ = duals_;
  least_reduced_ = reduced_;
  for (int i = 0; i < count_; ++i) duals_[i] = clip(duals_[i], instances_[i].weight);
  for (int r = count_; r < num_rows(); ++r) duals_[r] = 0.0;  // their amounts cost nothing here
  const double least_residual = bound_of_duals();

  start_phase_two();
  for (int j = 0; j < num_columns(); ++j)
    locked_[j] = !basic_[j] && std::fabs(least_reduced_[j]) > kLockFrom;
  if (!minimise_costs()) return false;
  read_scores();
  if (!prove(target_residual_, least_residual)) return false;
  const double residual_gap = gap_;

  double penalty = 0.0;
  for (int j = 0; j < num_columns(); ++j)
    if (locked_[j]) penalty = std::max(penalty, -reduced_[j] / least_reduced_[j]);
  read_duals();
  for (int r = 0; r < num_rows(); ++r) {
    duals_[r] += penalty * least_duals_[r];
    if (r < count_) duals_[r] = clip(duals_[r], penalty * instances_[r].weight);
  }
  const double bound = constant_ + bound_of_duals() - penalty * target_residual_;
  const bool proved = prove(target_objective_, bound);
  gap_ = std::max(gap_, residual_gap);
  return proved;
}

void LinproComponent::start_phase_two() {
  std::copy(piece_costs_.begin(), piece_costs_.end(), cost_.begin());
  for (int i = 0; i < count_; ++i) cost_[below(i)] = cost_[above(i)] = 0.0;
  price_pairs();
}

// What a cell pays in its own x, sum_i b n |x - q_i| + c n |x - m| + g n x, is convex and piecewise
// linear: a column for every piece, bounded by its width and priced at its slope.
void LinproComponent::add_pieces() {
  cell_of_.clear();
  upper_.clear();
  cost_.clear();
  constant_ = 0.0;
  for (int c = 0; c < num_cells(); ++c) {
    breaks_.clear();
    for (int i = 0; i < count_; ++i)
      if (covers(i, c)) breaks_.push_back(Break{targets_[i], uniformity_price(i) * sizes_[c]});
    if (!breaks_.empty() && terms_.anchor > 0.0)
      breaks_.push_back(Break{anchor_target(c), terms_.anchor * sizes_[c]});
    std::stable_sort(breaks_.begin(), breaks_.end(),
                     [](const Break& a, const Break& b) { return a.at < b.at; });
    double slope = terms_.sparsity * sizes_[c];
    for (const Break& b : breaks_) {
      slope -= b.price;
      constant_ += b.price * std::fabs(b.at);
    }
    double from = 0.0;
    for (const Break& b : breaks_) {
      const double to = std::min(std::max(b.at, 0.0), 1.0);
      if (b.price > 0.0 && to > from) {
        add_column(c, to - from, slope);
        from = to;
      }
      slope += 2.0 * b.price;
    }
    if (from < 1.0) add_column(c, 1.0 - from, slope);
  }
  num_pieces_ = num_columns();
}

// Neighbouring cells within an instance.
void LinproComponent::add_pairs() {
  pairs_.clear();
  if (!(terms_.variation > 0.0)) return;
  for (int c = 0; c + 1 < num_cells(); ++c) {
    double weight = 0.0;
    for (int i = 0; i < count_; ++i)
      if (covers(i, c) && covers(i, c + 1)) weight += instances_[i].weight;
    if (weight > 0.0) pairs_.push_back(Pair{c, terms_.variation * weight});
  }
}

void LinproComponent::add_amounts() {
  for (int j = 0; j < 2 * num_rows(); ++j) add_column(-1, kInfinity, 0.0);
}

void LinproComponent::add_column(int cell, double upper, double cost) {
  cell_of_.push_back(cell);
  upper_.push_back(upper);
  cost_.push_back(cost);
}

void LinproComponent::price_pairs() {
  for (int r = count_; r < num_rows(); ++r)
    cost_[below(r)] = cost_[above(r)] = pairs_[r - count_].price;
}

// Of a piece: a row of a confidence holds M x, a row of a pair the difference of its cells.
double LinproComponent::row_entry(int row, int piece) const {
  const int cell = cell_of_[piece];
  if (row < count_) return entry(row, cell) * sizes_[cell];
  const int first = pairs_[row - count_].cell;
  return cell == first ? 1.0 : (cell == first + 1 ? -1.0 : 0.0);
}

// The basis of amounts: row i holds M_i x + below_i - above_i = q_i, with its sign turned where q_i
// is negative.
void LinproComponent::start_simplex() {
  const int rows = num_rows();
  const int columns = num_columns();
  tableau_.assign(static_cast<size_t>(rows) * columns, 0.0);
  values_.resize(rows);
  reduced_.resize(columns);
  basis_.resize(rows);
  duals_.resize(rows);
  basic_.assign(columns, 0);
  at_upper_.assign(columns, 0);
  locked_.assign(columns, 0);
  for (int r = 0; r < rows; ++r) {
    const double right = r < count_ ? targets_[r] : 0.0;
    const double sign = right < 0.0 ? -1.0 : 1.0;
    double* row = tableau_.data() + static_cast<size_t>(r) * columns;
    for (int j = 0; j < num_pieces_; ++j) row[j] = sign * row_entry(r, j);
    row[below(r)] = sign;
    row[above(r)] = -sign;
    basis_[r] = sign > 0.0 ? below(r) : above(r);
    basic_[basis_[r]] = 1;
    values_[r] = sign * right;
  }
  simplex_ = BoundedSimplex{rows,
                            columns,
                            tableau_.data(),
                            values_.data(),
                            reduced_.data(),
                            upper_.data(),
                            basis_.data(),
                            basic_.data(),
                            at_upper_.data(),
                            locked_.data(),
                            0};
}

bool LinproComponent::minimise_costs() {
  price(simplex_, cost_.data());
  return minimise(simplex_);
}

double LinproComponent::column_value(int column) const {
  if (!basic_[column]) return at_upper_[column] ? upper_[column] : 0.0;
  const int row =
      static_cast<int>(std::find(basis_.begin(), basis_.end(), column) - basis_.begin());
  return values_[row];
}

void LinproComponent::read_scores() {
  std::fill(scores_.begin(), scores_.end(), 0.0);
  for (int j = 0; j < num_pieces_; ++j) scores_[cell_of_[j]] += column_value(j);
  for (double& score : scores_) score = std::min(std::max(score, 0.0), 1.0);
  evaluate();
}

// The column of the amount below a row is a unit vector: its reduced cost tells the row's dual.
void LinproComponent::read_duals() {
  for (int r = 0; r < num_rows(); ++r) duals_[r] = cost_[below(r)] - reduced_[below(r)];
  for (int r = count_; r < num_rows(); ++r) duals_[r] = clip(duals_[r], pairs_[r - count_].price);
}

// Any y bounds sum_j cost_j v_j over the pieces v, subject to the rows, from below:
//   sum_i y_i q_i + sum_j upper_j min(0, cost_j - sum_r y_r row_rj),
// as long as no amount would gain by growing, which the caller sees to.
double LinproComponent::bound_of_duals() const {
  double bound = 0.0;
  for (int i = 0; i < count_; ++i) bound += duals_[i] * targets_[i];
  for (int j = 0; j < num_pieces_; ++j) {
    double reduced = cost_[j];
    for (int r = 0; r < num_rows(); ++r) reduced -= duals_[r] * row_entry(r, j);
    bound += std::min(reduced, 0.0) * upper_[j];
  }
  return bound;
}

bool LinproComponent::prove(double value, double bound) {
  gap_ = std::fabs(value - bound) / std::max(1.0, std::fabs(value));
  return gap_ <= kLinproGap;  // false for NaN, too
}

}  // namespace gaufuse
