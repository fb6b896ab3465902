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
  double weight;  // positive
  int64_t begin;  // first snippet of the row that is not zero
  int64_t end;    // one past the last
};

class LinproComponent {
 public:
  // `instances` are those of the component. False where it is too large to be solved here, or not
  // proved optimal.
  bool solve(const LinproInstance* instances, int count, const LinproTerms& terms);

  // Of the solution.
  bool relaxed() const { return relaxed_; }
  double objective() const { return objective_; }
  double residual() const { return residual_; }
  double gap() const { return gap_; }
  int pivots() const { return simplex_.pivots; }
  int num_cells() const { return static_cast<int>(sizes_.size()); }
  int64_t cell_begin(int cell) const { return cuts_[cell]; }
  int64_t cell_end(int cell) const { return cuts_[cell + 1]; }
  double score(int cell) const { return scores_[cell]; }

 private:
  static constexpr int kMostInstances = 64;
  static constexpr int64_t kMostEntries = 1 << 20;  // of the tableau

  // linpro_component.cpp: the component itself
  void cut();
  void find_targets();
  bool solve_alone();
  void evaluate();
  double confidence_price(int instance) const;
  double uniformity_price(int instance) const;
  double entry(int instance, int cell) const { return entries_[instance * num_cells() + cell]; }
  bool covers(int instance, int cell) const { return entry(instance, cell) > 0.0; }

  double anchor_target(int cell) const;

  // linpro_program.cpp: its program, solved and proved
  bool solve_program();
  bool solve_elastic();
  bool solve_hard();
  bool solve_met(double size);
  bool solve_relaxed();
  void start_phase_two();
  void add_pieces();
  void add_pairs();
  void add_amounts();
  void add_column(int cell, double upper, double cost);
  void price_pairs();
  void start_simplex();
  bool minimise_costs();
  void read_scores();
  void read_duals();
  double bound_of_duals() const;
  bool prove(double value, double bound);
  double column_value(int column) const;
  double row_entry(int row, int piece) const;
  int num_columns() const { return static_cast<int>(cell_of_.size()); }
  int num_rows() const { return count_ + static_cast<int>(pairs_.size()); }
  int below(int row) const { return num_pieces_ + row; }
  int above(int row) const { return num_pieces_ + num_rows() + row; }

  const LinproInstance* instances_ = nullptr;
  int count_ = 0;
  LinproTerms terms_{};
  std::vector<int64_t> cuts_;    // (cells + 1,)
  std::vector<double> sizes_;    // (cells,) snippets
  std::vector<double> entries_;  // (count, cells) membership value of a snippet
  std::vector<double> targets_;  // (count,) confidences, clipped to what can be reached, plus one
  std::vector<double> anchors_;  // (cells,) mean confidence, clipped the same way
  std::vector<double> scores_;   // (cells,) the solution
  bool relaxed_ = false;
  double objective_ = 0.0;         // with the confidences as they are
  double residual_ = 0.0;          // sum of |M x - q|, the same
  double target_objective_ = 0.0;  // with the clipped ones: what bounds are compared with
  double target_residual_ = 0.0;   // weighted, with the clipped ones
  double gap_ = 0.0;

  // The program: a column for each piece of what a cell pays, then for each row the amount below
  // its right side, then for each the amount above it. Rows: confidences, then the differences of
  // neighbouring cells.
  struct Pair {
    int cell;  // and the one after it
    double price;
  };
  struct Break {
    double at;
    double price;
  };
  std::vector<Pair> pairs_;
  std::vector<Break> breaks_;
  std::vector<int> cell_of_;  // (columns,) -1: an amount
  double constant_ = 0.0;     // what the pieces' costs start from
  int num_pieces_ = 0;
  std::vector<double> upper_;
  std::vector<double> cost_;
  std::vector<double> tableau_;
  std::vector<double> values_;
  std::vector<double> reduced_;
  std::vector<double> duals_;          // (rows,)
  std::vector<double> piece_costs_;    // (pieces,) of phase 2
  std::vector<double> least_reduced_;  // (columns,) of phase 1, the least residual
  std::vector<double> least_duals_;    // (rows,) the same
  std::vector<int> basis_;
  std::vector<uint8_t> basic_;
  std::vector<uint8_t> at_upper_;
  std::vector<uint8_t> locked_;
  BoundedSimplex simplex_{};
};

}  // namespace gaufuse
