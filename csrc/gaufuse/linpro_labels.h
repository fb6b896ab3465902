// LinPro pseudo labels of groups of scored instances (method section 4), solved natively.
//
// Contract
// - Programs and terms as in gaufuse_ext/ops/linpro_labels.py. The time axis is cut into cells,
//   instances into connected components (see gaufuse_ext/linpro/cells.py: the reduction is exact);
//   a component of one instance has a closed form, the others go through a bounded simplex; on the
//   CPU, where they are a path (linpro_path.h), those of many through a network simplex.
// - Instances of weight zero are left out; with `uniform` also those that cover no snippet.
// - Hard constraints that cannot be met are relaxed: least weighted l1 residual first, the rest of
//   the objective second, at that residual.
// - Closed forms are exact; each other solution is proved: a bound from its dual, computed anew
//   from the component's own data, must lie within kLinproGap of the objective (relative, or
//   absolute below the component's unit of prices); of a relaxed one both the residual and the
//   objective are proved (on a path, the objective among the labels that keep what the duals of the
//   residual fix). A group with a component that is not proved, or that is too large for
//   this solver, gets the status `unsolved` and no labels: the caller hands it to a general solver.
// - Labels lie in [0, 1], zero outside of instances and rings. Deterministic.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/host_device.h"
#include "gaufuse/interval_membership.h"
#include "gaufuse/status.h"

namespace gaufuse {

enum class LinproStatus : int64_t {
  empty = 0,
  optimal = 1,
  unsolved = 2,
  relaxed = 3,
  left_over = 4,  // between the launches of linpro_labels_cuda only
};

constexpr double kLinproGap = 1e-9;
constexpr int64_t kMostLinproInstances = 64;  // of a component that is no path

// What a program asks for. `released` is: rows = contrast, hard, sparsity = 1, all else zero.
struct LinproTerms {
  double confidence;   // a: of |M x - q|
  double uniformity;   // b: of |x - q| inside an instance
  double anchor;       // c: of |x - m|, m the weighted mean of the confidences that cover a snippet
  double variation;    // v: of |x - x'| between neighbouring snippets inside an instance
  double sparsity;     // g: of x
  bool per_snippet;    // a and b are prices of a snippet, not of an instance
  bool hard;           // M x = q is a constraint, a is not used
  Membership rows;     // of M
  bool all_instances;  // `released`: also rows of instances that cover no snippet count
  GAUFUSE_FIELDS(confidence, uniformity, anchor, variation, sparsity, per_snippet, hard, rows,
                 all_instances)
};

template <typename T>
struct LinproLabelsParams {
  const T* segments;       // (groups, capacity, 2)
  const T* scores;         // (groups, capacity)
  const T* weights;        // (groups, capacity), not negative, or null: ones
  const int64_t* counts;   // (groups,) or null
  const int64_t* lengths;  // (groups,) or null
  T* labels;               // (groups, num_snippets)
  double* figures;         // (3, groups): objective; residual; gap, relative, the largest of the
                           // group's components
  int64_t* numbers;        // (2, groups): pivots; LinproStatus
  char* workspace;         // CUDA only: (workers, worker_bytes), see linpro_arenas.h
  int64_t workers;
  int64_t worker_bytes;
  int64_t groups;
  int64_t capacity;
  int64_t num_snippets;
  double margin;
  double margin_power;
  LinproTerms terms;
  GAUFUSE_FIELDS(segments, scores, weights, counts, lengths, labels, figures, numbers, workspace,
                 workers, worker_bytes, groups, capacity, num_snippets, margin, margin_power, terms)

  GAUFUSE_HD double& objective(int64_t group) const { return figures[group]; }
  GAUFUSE_HD double& residual(int64_t group) const { return figures[groups + group]; }
  GAUFUSE_HD double& gap(int64_t group) const { return figures[2 * groups + group]; }
  GAUFUSE_HD int64_t& pivots(int64_t group) const { return numbers[group]; }
  GAUFUSE_HD int64_t& status(int64_t group) const { return numbers[groups + group]; }
};

// Memory that linpro_labels_cuda needs beside shared memory: `workers` warps, each with its own.
struct LinproWorkspace {
  int64_t workers;
  int64_t worker_bytes;
};

template <typename T>
Status linpro_labels_cpu(const LinproLabelsParams<T>& params, int threads);
// Values are not checked: a group with one that is not finite is left `unsolved`, an instance with
// end < start covers no snippet.
template <typename T>
Status linpro_labels_cuda(const LinproLabelsParams<T>& params, void* stream);

}  // namespace gaufuse
