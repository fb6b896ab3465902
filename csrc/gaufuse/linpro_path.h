// A large component of LinPro in its mean form, laid out on the path of its cells for
// path_simplex.h: with areas (prefix sums of labels) as unknowns a confidence is a difference of
// two of them, and so is what a cell pays. Memory of about K where the bounded simplex of
// linpro_program.h takes K^2. CPU only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gaufuse/arena.h"
#include "gaufuse/linpro_component.h"
#include "gaufuse/path_costs.h"
#include "gaufuse/path_simplex.h"

namespace gaufuse {

// Rows must be means, and the variation must have no price: it is no difference of two areas.
inline bool takes_path(const LinproTerms& terms) {
  return terms.rows == Membership::mean && !(terms.variation > 0.0) && !terms.all_instances;
}

// Weight and weighted mean of confidences; a convex combination cannot overflow.
struct WeightedMean {
  double weight;
  double mean;

  WeightedMean operator+(const WeightedMean& other) const {
    if (!(other.weight > 0.0)) return *this;
    if (!(weight > 0.0)) return other;
    const double sum = weight + other.weight;
    return WeightedMean{sum, mean * (weight / sum) + other.mean * (other.weight / sum)};
  }
};

// All arrays are the arena's. Flows and prices are those of a snippet: an instance that is missed
// by one in its mean is missed by its size in areas.
struct LinproPath {
  LinproComponent& component;
  PathCosts costs = {};
  LevelTerm* terms = nullptr;        // (count,) by target
  int* rank = nullptr;               // (count,) of an instance in `terms`
  int* by_from = nullptr;            // (count,) ranks
  int* by_to = nullptr;              // (count,) ranks
  double* anchor_targets = nullptr;  // (cells,)
  PathArc* arcs = nullptr;           // (count,) of instances
  double* least_flows = nullptr;     // (count,) of hard constraints' first phase
  double* fixed = nullptr;           // (cells,) levels that it fixes, NaN for none

  explicit LinproPath(LinproComponent& own) : component(own) {}

  double limit_of_miss(int i) const { return component.miss_weight(i) / arcs[i].size; }
};

// Cells, targets, terms by target: what cut_component() and find_targets() do with K^2 numbers.
// Instances are by begin. False: the arena is too small.
inline bool lay_out_path(LinproPath& path, Arena& arena) {
  LinproComponent& component = path.component;
  const LinproInstance* instances = component.instances;
  const int count = component.count;
  int64_t* cuts = arena.take<int64_t>(2 * static_cast<int64_t>(count));
  path.terms = arena.take<LevelTerm>(count);
  path.rank = arena.take<int>(count);
  path.by_from = arena.take<int>(count);
  path.by_to = arena.take<int>(count);
  component.targets = arena.take<double>(count);
  component.ascending = arena.take<int>(count);
  path.arcs = arena.take<PathArc>(count);
  path.least_flows = arena.take<double>(count);
  if (path.least_flows == nullptr) return false;
  double* targets = component.targets;
  for (int i = 0; i < count; ++i) {
    targets[i] = clip(instances[i].confidence, -1.0, 2.0);  // as in find_targets()
    component.ascending[i] = path.by_to[i] = i;
  }
  std::sort(component.ascending, component.ascending + count, [=](int a, int b) {
    return targets[a] < targets[b] || (targets[a] == targets[b] && a < b);
  });
  std::sort(path.by_to, path.by_to + count, [=](int a, int b) {
    return instances[a].end < instances[b].end || (instances[a].end == instances[b].end && a < b);
  });
  for (int r = 0; r < count; ++r) path.rank[component.ascending[r]] = r;
  int cut = 0;
  for (int begun = 0, ended = 0; ended < count; ++cut) {
    int64_t at = instances[path.by_to[ended]].end;
    if (begun < count) at = std::min(at, instances[begun].begin);
    cuts[cut] = at;
    for (; begun < count && instances[begun].begin == at; ++begun) {
      path.by_from[begun] = path.rank[begun];
      path.terms[path.rank[begun]].from = cut;
    }
    for (; ended < count && instances[path.by_to[ended]].end == at; ++ended) {
      path.by_to[ended] = path.rank[path.by_to[ended]];
      path.terms[path.by_to[ended]].to = cut;
    }
  }
  const int cells = cut - 1;
  component.cuts = cuts;
  component.cells = cells;
  component.sizes = arena.take<double>(cells);
  component.anchors = arena.take<double>(cells);
  component.scores = arena.take<double>(cells);
  path.anchor_targets = arena.take<double>(cells);
  path.fixed = arena.take<double>(cells);
  if (path.fixed == nullptr) return false;
  for (int c = 0; c < cells; ++c) component.sizes[c] = static_cast<double>(cuts[c + 1] - cuts[c]);
  for (int r = 0; r < count; ++r) {
    const int i = component.ascending[r];
    path.terms[r].at = targets[i];
    path.terms[r].price = component.uniformity_price(i);
  }
  return true;
}

inline bool find_anchors(LinproPath& path, Arena& arena) {
  LinproComponent& component = path.component;
  SumTree<WeightedMean> means;
  const int64_t before = arena.used;
  if (!means.lay_out(arena, component.count)) return false;
  arena.used = before;
  const auto set = [&](int rank, bool covers) {
    const int i = component.ascending[rank];
    means.set(rank,
              WeightedMean{covers ? component.weight(i) : 0.0, component.instances[i].confidence});
  };
  int begun = 0;
  int ended = 0;
  for (int c = 0; c < component.cells; ++c) {
    for (; ended < component.count && path.terms[path.by_to[ended]].to <= c; ++ended)
      set(path.by_to[ended], false);
    for (; begun < component.count && path.terms[path.by_from[begun]].from <= c; ++begun)
      set(path.by_from[begun], true);
    component.anchors[c] = means.total().mean;
    path.anchor_targets[c] = component.anchor_target(c);
  }
  return true;
}

// Costs, lists and arcs.
inline bool build_path(LinproPath& path, PathSimplex& simplex, Arena& arena) {
  const LinproComponent& component = path.component;
  PathCosts& costs = path.costs;
  costs.cells = component.cells;
  costs.count = component.count;
  costs.terms = path.terms;
  costs.by_from = path.by_from;
  costs.by_to = path.by_to;
  costs.anchors = path.anchor_targets;
  if (!costs.active.lay_out(arena, component.count)) return false;
  IndexSet ranks;
  if (!ranks.lay_out(arena, component.count) || !build_lists(costs, ranks, arena)) return false;
  simplex.sizes = component.sizes;
  simplex.arcs = path.arcs;
  simplex.arc_count = component.count;
  if (!simplex.lay_out(arena)) return false;
  for (int i = 0; i < component.count; ++i) {
    const LevelTerm& term = path.terms[path.rank[i]];
    const double size = component.instances[i].inside_size();
    simplex.tree.nodes[2 * i] = term.from;
    simplex.tree.nodes[2 * i + 1] = term.to;
    path.arcs[i] = PathArc{size * component.targets[i], 0.0, 0.0, 0.0, size, false};
  }
  return true;
}

// The cells' own costs, or none: in the first phase of hard constraints.
inline void price_cells(LinproPath& path, bool own) {
  const LinproComponent& component = path.component;
  for (int i = 0; i < component.count; ++i)
    path.terms[path.rank[i]].price = own ? component.uniformity_price(i) : 0.0;
  path.costs.priced = own;
  path.costs.anchor_price = own ? component.terms.anchor : 0.0;
  path.costs.sparsity = own ? component.terms.sparsity : 0.0;
}

// A sum that forgets nothing of what is taken away again.
struct RunningSum {
  double sum = 0.0;
  double rest = 0.0;

  double add(double value) {
    const double total = sum + value;
    const double own = total - sum;
    rest += (sum - (total - own)) + (value - own);
    sum = total;
    return sum + rest;
  }
};

// What the instances carry over each cell, if instance i carries flow_of(i).
template <typename FlowOf>
void sum_pushes(const PathSimplex& simplex, FlowOf flow_of, double* pushes) {
  const int cells = simplex.costs.cells;
  for (int c = 0; c < cells; ++c) pushes[c] = 0.0;
  RunningSum carried;
  for (int i = 0; i < simplex.arc_count; ++i) {
    const double flow = flow_of(i);
    const int to = simplex.tree.nodes[2 * i + 1];
    pushes[simplex.tree.nodes[2 * i]] += flow;
    if (to < cells) pushes[to] -= flow;
  }
  for (int c = 0; c < cells; ++c) pushes[c] = carried.add(pushes[c]);
}

inline void read_path_scores(LinproPath& path, PathSimplex& simplex) {
  LinproComponent& component = path.component;
  for (int c = 0; c < component.cells; ++c)
    component.scores[c] = clip(simplex.level_of(c), 0.0, 1.0);
  RunningSum area;
  simplex.area[0] = 0.0;
  for (int c = 0; c < component.cells; ++c)
    simplex.area[c + 1] = area.add(component.sizes[c] * component.scores[c]);
}

// Objective and residual of the scores, as in evaluate_component(), from areas as
// read_path_scores() leaves them. Returns by how much the objective may lie above any other
// labels', for flows of at most what a miss costs in areas: with them, what cells could gain and
// what misses cost in excess of what flows say,
//   sum_c n_c (f_c(x_c) + push_c x_c - min (f_c(x) + push_c x)) + sum_i (limit_i |h_i| - flow_i
//   h_i),
// without the cells whose levels are fixed (`fixed`: as in place_cells()).
template <typename FlowOf, typename LimitOf>
double evaluate_path(LinproPath& path, PathSimplex& simplex, const double* fixed, FlowOf flow_of,
                     LimitOf limit_of) {
  LinproComponent& component = path.component;
  const LinproTerms& terms = component.terms;
  double objective = 0.0;
  double constant = 0.0;  // what the targets cut off from confidences and anchors
  double excess = 0.0;
  sum_pushes(simplex, flow_of, simplex.push);
  sweep_cells(path.costs, [&](int c) {
    const double size = component.sizes[c];
    const double score = component.scores[c];
    const double cost = cost_of_level(path.costs, c, score);
    const double best = best_level(path.costs, c, simplex.push[c]);
    objective += size * cost;
    const bool is_free = fixed == nullptr || fixed[c] != fixed[c];
    if (is_free && best != score)
      excess +=
          size * (cost - cost_of_level(path.costs, c, best) + simplex.push[c] * (score - best));
    constant += size * terms.anchor * std::fabs(component.anchors[c] - path.anchor_targets[c]);
  });
  component.residual = component.target_residual = component.worst_miss = 0.0;
  for (int i = 0; i < component.count; ++i) {
    const double size = path.arcs[i].size;
    const int* nodes = simplex.tree.nodes + 2 * i;
    const double miss =
        (simplex.area[nodes[1]] - simplex.area[nodes[0]]) / size - component.targets[i];
    const double cut = component.instances[i].confidence - component.targets[i];
    const double price = terms.hard ? 0.0 : component.confidence_price(i);
    objective += price * std::fabs(miss);
    constant += (price + size * component.uniformity_price(i)) * std::fabs(cut);
    excess += size * (limit_of(i) * std::fabs(miss) - flow_of(i) * miss);
    component.residual += std::fabs(miss - cut);
    component.target_residual += component.miss_weight(i) * std::fabs(miss);
    component.worst_miss = std::max(component.worst_miss, std::fabs(miss));
  }
  component.target_objective = objective;
  component.objective = objective + constant;
  return excess;
}

}  // namespace gaufuse
