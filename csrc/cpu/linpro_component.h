// One connected component of a LinPro program: its cells, its solution and the proof of it.
#pragma once

#include <cstdint>
#include <vector>

#include "gaufuse/bounded_simplex.h"
#include "gaufuse/interval_membership.h"
#include "gaufuse/linpro_labels.h"

namespace gaufuse {

struct LinproInstance {
  MembershipRow row;
  double confidence;
  int64_t begin;  // first snippet of the row that is not zero
  int64_t end;    // one past the last
};

struct LinproTerms {
  double confidence_weight;
  double uniformity_weight;
  double sparsity_weight;
  Formulation formulation;
};

class LinproComponent {
 public:
  // `instances` are those of the component. False where it is too large to be solved here, or not
  // proved optimal.
  bool solve(const LinproInstance* instances, int count, const LinproTerms& terms);

  // Of the solution.
  double objective() const { return objective_; }
  double residual() const { return residual_; }
  double gap() const { return gap_; }
  int pivots() const { return simplex_.pivots; }
  int num_cells() const { return static_cast<int>(sizes_.size()); }
  int64_t cell_begin(int cell) const { return cuts_[cell]; }
  int64_t cell_end(int cell) const { return cuts_[cell + 1]; }
  double score(int cell) const { return scores_[cell]; }

 private:
  static constexpr int kMostInstances = 24;
  static constexpr int kMostColumns = 1024;

  void cut();
  bool solve_alone();
  bool solve_uniform();
  bool solve_released();
  bool add_pieces();
  void add_column(int cell, double scale, double upper, double cost);
  void start_simplex();
  double column_value(int column) const;
  void evaluate();
  void clip_confidences();
  bool prove(double bound);

  double entry(int instance, int cell) const { return entries_[instance * num_cells() + cell]; }

  const LinproInstance* instances_ = nullptr;
  int count_ = 0;
  LinproTerms terms_{};
  std::vector<int64_t> cuts_;      // (cells + 1,)
  std::vector<double> sizes_;      // (cells,) snippets
  std::vector<double> entries_;    // (count, cells) membership value of a snippet
  std::vector<double> targets_;    // (count,) confidences, clipped to what can be reached, plus one
  std::vector<double> scores_;     // (cells,) the solution
  std::vector<int> covering_;      // instances that cover a cell, by confidence
  double objective_ = 0.0;         // with the confidences as they are
  double target_objective_ = 0.0;  // with the clipped ones: what the bound is compared with
  double residual_ = 0.0;
  double gap_ = 0.0;

  // The program: columns of cells, then for each instance the amount below its confidence, then
  // for each the amount above it.
  std::vector<int> cell_of_;   // (columns,) -1: an amount
  std::vector<double> scale_;  // (columns,) a unit of the column is that much of the cell's score
  std::vector<double> upper_;
  std::vector<double> cost_;
  std::vector<double> tableau_;
  std::vector<double> values_;
  std::vector<double> reduced_;
  std::vector<int> basis_;
  std::vector<uint8_t> basic_;
  std::vector<uint8_t> at_upper_;
  BoundedSimplex simplex_{};
};

}  // namespace gaufuse
