// LinPro pseudo labels of groups of scored instances (method section 4), solved natively.
//
// Contract
// - Programs and terms as in gaufuse_ext/ops/linpro_labels.py. The time axis is cut into cells,
//   instances into connected components (see gaufuse_ext/linpro/cells.py: the reduction is exact);
//   a component of one instance has a closed form, the others go through a bounded simplex.
// - Each solution is proved: a bound from its dual, computed anew from the component's own data,
//   must lie within kLinproGap of the objective (relative, or absolute below one). A group with a
//   component that is not proved, or that is too large for this solver, or whose `released`
//   constraints cannot be met, gets the status `unsolved` and no labels: the caller hands it to a
//   general solver.
// - Labels lie in [0, 1], zero outside of instances and rings. Deterministic.
#pragma once

#include <cstdint>

#include "gaufuse/interval_membership.h"
#include "gaufuse/status.h"

namespace gaufuse {

enum class Formulation : int { uniform = 0, released = 1 };
enum class LinproStatus : int64_t { empty = 0, optimal = 1, unsolved = 2 };

constexpr double kLinproGap = 1e-9;

template <typename T>
struct LinproLabelsParams {
  const T* segments;       // (groups, capacity, 2)
  const T* scores;         // (groups, capacity)
  const int64_t* counts;   // (groups,) or null
  const int64_t* lengths;  // (groups,) or null
  T* labels;               // (groups, num_snippets)
  double* objective;       // (groups,)
  double* residual;        // (groups,)
  double* gap;             // (groups,) relative, the largest of the group's components
  int64_t* pivots;         // (groups,)
  int64_t* status;         // (groups,) LinproStatus
  int64_t groups;
  int64_t capacity;
  int64_t num_snippets;
  double margin;
  double margin_power;
  double confidence_weight;  // a
  double uniformity_weight;  // b
  double sparsity_weight;    // g
  Membership rows;           // uniform: mean or contrast_mean
  Formulation formulation;
};

template <typename T>
Status linpro_labels_cpu(const LinproLabelsParams<T>& params, int threads);

}  // namespace gaufuse
