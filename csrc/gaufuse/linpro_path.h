// Large components of LinPro in their mean form, solved on the path of their cells (path_simplex.h):
// with areas (prefix sums of labels) as unknowns a confidence is a difference of two of them, and so
// is what a cell pays. Takes time and memory of about K log K + pivots, where the bounded simplex of
// linpro_program.h takes K^3 and K^2. CPU only.
//
// Contract
// - Rows are means and the variation has no price: takes_path().
// - The answer is proved, or reported as not proved, as in linpro_labels.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gaufuse/arena.h"
#include "gaufuse/linpro_component.h"
#include "gaufuse/linpro_program.h"
#include "gaufuse/path_costs.h"
#include "gaufuse/path_simplex.h"

namespace gaufuse {

inline bool takes_path(const LinproTerms& terms) {
  return terms.rows == Membership::mean && !(terms.variation > 0.0) && !terms.all_instances;
}

// Weight and weighted mean of confidences; a convex combination cannot overflow.
struct WeightedMean {
  double weight;
  double mean;

  WeightedMean operator+(const WeightedMean& other) const {
    const double sum = weight + other.weight;
    if (!(sum > 0.0)) return WeightedMean{0.0, 0.0};
    return WeightedMean{sum, mean * (weight / sum) + other.mean * (other.weight / sum)};
  }
};

// All arrays are the arena's.
struct LinproPath {
  LinproComponent& component;
  LevelTerm* terms;         // (count,) by target
  int* rank;                // (count,) of an instance in `terms`
  int* by_from;             // (count,) ranks
  int* by_to;               // (count,) ranks
  double* anchor_targets;   // (cells,)
  PathCosts costs;
  PathArc* arcs;            // (count,) of instances, targets and flows in snippets
  double* flows;            // (count,) of the phase before
  double* fixed;            // (cells,) levels of cells that the phase before fixes, NaN for none
};

// Cells, targets, terms by target: what cut_component() and find_targets() do with K^2 numbers.
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
  path.flows = arena.take<double>(count);
  if (path.flows == nullptr) return false;
  for (int i = 0; i < count; ++i) {
    cuts[2 * i] = instances[i].begin;
    cuts[2 * i + 1] = instances[i].end;
    // As far as a confidence can pull, as in find_targets().
    component.targets[i] = clip(instances[i].confidence, -1.0, 2.0);
    component.ascending[i] = i;
  }
  std::sort(cuts, cuts + 2 * count);
  component.cuts = cuts;
  component.cells = static_cast<int>(std::unique(cuts, cuts + 2 * count) - cuts) - 1;
  const int cells = component.cells;
  const double* targets = component.targets;
  std::sort(component.ascending, component.ascending + count, [=](int a, int b) {
    return targets[a] < targets[b] || (targets[a] == targets[b] && a < b);
  });
  component.sizes = arena.take<double>(cells);
  component.anchors = arena.take<double>(cells);
  component.scores = arena.take<double>(cells);
  path.anchor_targets = arena.take<double>(cells);
  path.fixed = arena.take<double>(cells);
  if (path.fixed == nullptr) return false;
  for (int c = 0; c < cells; ++c) {
    component.sizes[c] = static_cast<double>(cuts[c + 1] - cuts[c]);
    component.scores[c] = 0.0;
  }
  const auto cell_at = [&](int64_t snippet) {
    return static_cast<int>(std::lower_bound(cuts, cuts + cells, snippet) - cuts);
  };
  for (int r = 0; r < count; ++r) {
    const int i = component.ascending[r];
    path.rank[i] = path.by_from[r] = path.by_to[r] = r;
    path.terms[r] = LevelTerm{targets[i], component.uniformity_price(i), cell_at(instances[i].begin),
                              cell_at(instances[i].end)};
  }
  const LevelTerm* terms = path.terms;
  std::sort(path.by_from, path.by_from + count, [=](int a, int b) {
    return terms[a].from < terms[b].from || (terms[a].from == terms[b].from && a < b);
  });
  std::sort(path.by_to, path.by_to + count, [=](int a, int b) {
    return terms[a].to < terms[b].to || (terms[a].to == terms[b].to && a < b);
  });
  return true;
}

inline bool find_anchors(LinproPath& path, Arena& arena) {
  LinproComponent& component = path.component;
  SumTree<WeightedMean> means;
  const int64_t before = arena.used;
  if (!means.lay_out(arena, component.count)) return false;
  const auto set = [&](int rank, double weight) {
    const int i = component.ascending[rank];
    means.set(rank, WeightedMean{weight, component.instances[i].confidence});
  };
  int begun = 0;
  int ended = 0;
  for (int c = 0; c < component.cells; ++c) {
    for (; ended < component.count && path.terms[path.by_to[ended]].to <= c; ++ended)
      set(path.by_to[ended], 0.0);
    for (; begun < component.count && path.terms[path.by_from[begun]].from <= c; ++begun)
      set(path.by_from[begun], component.weight(component.ascending[path.by_from[begun]]));
    component.anchors[c] = component.terms.anchor > 0.0 ? means.total().mean : 0.0;
    path.anchor_targets[c] = component.anchor_target(c);
  }
  arena.used = before;
  return true;
}

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

// The cells' own costs, or none of them: in the first phase of hard constraints.
inline void price_cells(LinproPath& path, bool own) {
  const LinproComponent& component = path.component;
  for (int i = 0; i < component.count; ++i)
    path.terms[path.rank[i]].price = own ? component.uniformity_price(i) : 0.0;
  path.costs.priced = own;
  path.costs.anchor_price = own ? component.terms.anchor : 0.0;
  path.costs.sparsity = own ? component.terms.sparsity : 0.0;
}

// Objective and residual of the scores, as evaluate_component(). The objective is that of the
// targets and a constant.
inline void evaluate_path(LinproPath& path, const PathSimplex& simplex) {
  LinproComponent& component = path.component;
  const LinproTerms& terms = component.terms;
  const double* areas = simplex.area;
  double objective = 0.0;
  double constant = 0.0;
  component.residual = component.target_residual = component.worst_miss = 0.0;
  sweep_cells(path.costs, [&](int c) {
    const double size = component.sizes[c];
    objective += size * cost_of_level(path.costs, c, component.scores[c]);
    constant += size * terms.anchor * std::fabs(component.anchors[c] - path.anchor_targets[c]);
  });
  for (int i = 0; i < component.count; ++i) {
    const int* nodes = simplex.tree.nodes + 2 * i;
    const double size = component.instances[i].inside_size();
    const double mean = (areas[nodes[1]] - areas[nodes[0]]) / size;
    const double miss = std::fabs(mean - component.targets[i]);
    const double confidence = component.instances[i].confidence;
    double cut = size * component.uniformity_price(i);
    if (!terms.hard) {
      objective += component.confidence_price(i) * miss;
      cut += component.confidence_price(i);
    }
    constant += cut * std::fabs(confidence - component.targets[i]);
    component.residual += std::fabs(mean - confidence);
    component.target_residual += component.miss_weight(i) * miss;
    component.worst_miss = std::max(component.worst_miss, miss);
  }
  component.target_objective = objective;
  component.objective = objective + constant;
}

// The scores, and their areas anew into simplex.area.
inline void read_path_scores(LinproPath& path, PathSimplex& simplex) {
  LinproComponent& component = path.component;
  for (int c = 0; c < component.cells; ++c)
    component.scores[c] = clip(simplex.level_of(c), 0.0, 1.0);
  simplex.area[0] = 0.0;
  for (int c = 0; c < component.cells; ++c)
    simplex.area[c + 1] = simplex.area[c] + component.sizes[c] * component.scores[c];
  evaluate_path(path, simplex);
}

// Any flows y with |y_i| <= what missing target i by a snippet costs bound the objective from below:
// sum_c n_c min_x (f_c(x) + x sum of y over the cell) - sum_i y_i n_i target_i. The pushes are summed
// anew. Arcs beyond their limits are the caller's concern.
template <typename FlowOf>
double bound_of_flows(LinproPath& path, const PathSimplex& simplex, FlowOf flow_of) {
  LinproComponent& component = path.component;
  double* change = simplex.push;
  for (int c = 0; c < component.cells; ++c) change[c] = 0.0;
  double bound = 0.0;
  for (int i = 0; i < component.count; ++i) {
    const double flow = flow_of(i);
    const int* nodes = simplex.tree.nodes + 2 * i;
    change[nodes[0]] += flow;
    if (nodes[1] < component.cells) change[nodes[1]] -= flow;
    bound -= flow * path.arcs[i].target;
  }
  double carried = 0.0;
  sweep_cells(path.costs, [&](int c) {
    carried += change[c];
    const double level = best_level(path.costs, c, carried);
    bound += component.sizes[c] * (cost_of_level(path.costs, c, level) + carried * level);
  });
  return bound;
}

struct PathProof {
  double gap = 0.0;

  bool prove(double value, double bound) {
    const double own = std::fabs(value - bound) / std::max(1.0, std::fabs(value));
    gap = std::max(gap, own);
    return own <= kLinproGap;
  }
};

inline int64_t most_path_pivots(const LinproPath& path) {
  return 200 * (static_cast<int64_t>(path.component.count) + path.component.cells + 50);
}

// Flows that the levels of the cells ask for when nothing is carried: most of them stay.
inline void start_flows(LinproPath& path, PathSimplex& simplex, const double* fixed) {
  for (int i = 0; i < path.component.count; ++i) path.arcs[i].flow = 0.0;
  simplex.place_cells(fixed);
  bool changed = false;
  for (int i = 0; i < path.component.count; ++i) {
    PathArc& arc = path.arcs[i];
    const double wanted = simplex.miss_of(i) > 0.0 ? arc.most : arc.least;
    if (std::fabs(wanted) < INFINITY) arc.flow = wanted;
    changed |= arc.flow != 0.0;
  }
  if (changed) simplex.place_cells(fixed);
}

inline bool solve_elastic_path(LinproPath& path, PathSimplex& simplex, PathProof& proof) {
  LinproComponent& component = path.component;
  for (int i = 0; i < component.count; ++i) {
    const double price = component.confidence_price(i) / path.arcs[i].size;
    path.arcs[i].least = -price;
    path.arcs[i].most = price;
  }
  start_flows(path, simplex, nullptr);
  if (!simplex.minimise(most_path_pivots(path))) return false;
  read_path_scores(path, simplex);
  const double bound = bound_of_flows(path, simplex, [&](int i) {
    return clip(path.arcs[i].flow, path.arcs[i].least, path.arcs[i].most);
  });
  return proof.prove(component.target_objective, bound);
}

// The least cost at the least residual. What every solution of the first phase shares is kept: an
// arc that carries less than it may misses nothing, a full one misses on its side or not at all; a
// cell with a push stands at its end. The proof as in solve_relaxed() of linpro_program.h.
inline bool solve_relaxed_path(LinproPath& path, PathSimplex& simplex, PathProof& proof,
                               double least_residual) {
  LinproComponent& component = path.component;
  const int cells = component.cells;
  double carried = 0.0;
  for (int c = 0; c < cells; ++c) path.fixed[c] = 0.0;
  for (int i = 0; i < component.count; ++i) {
    const int* nodes = simplex.tree.nodes + 2 * i;
    path.fixed[nodes[0]] += path.flows[i];
    if (nodes[1] < cells) path.fixed[nodes[1]] -= path.flows[i];
  }
  for (int c = 0; c < cells; ++c) {
    carried += path.fixed[c];
    const double push = component.sizes[c] * carried;
    path.fixed[c] = push > kLockFrom ? 0.0 : (push < -kLockFrom ? 1.0 : NAN);
  }
  for (int i = 0; i < component.count; ++i) {
    PathArc& arc = path.arcs[i];
    const double own = arc.size * path.flows[i];
    const bool at_most = component.miss_weight(i) - own <= kLockFrom;
    const bool at_least = component.miss_weight(i) + own <= kLockFrom;
    arc.least = at_least ? 0.0 : -INFINITY;  // a full one wants a miss, which must not turn
    arc.most = at_most ? 0.0 : INFINITY;
  }
  price_cells(path, true);
  start_flows(path, simplex, path.fixed);
  if (!simplex.minimise(most_path_pivots(path))) return false;
  read_path_scores(path, simplex);
  if (!proof.prove(component.target_residual, least_residual)) return false;

  // The price of the residual at which all this comes out by itself.
  double penalty = 0.0;
  for (int i = 0; i < component.count; ++i) {
    const double limit = component.miss_weight(i) / path.arcs[i].size;
    const double flow = path.arcs[i].flow;
    const double room = flow > 0.0 ? limit - path.flows[i] : limit + path.flows[i];
    if (flow != 0.0) penalty = std::max(penalty, std::fabs(flow) / room);
  }
  carried = 0.0;
  double first_carried = 0.0;
  double* change = simplex.push;
  double* first_change = simplex.moved;
  for (int c = 0; c < cells; ++c) change[c] = first_change[c] = 0.0;
  for (int i = 0; i < component.count; ++i) {
    const int* nodes = simplex.tree.nodes + 2 * i;
    change[nodes[0]] += path.arcs[i].flow;
    first_change[nodes[0]] += path.flows[i];
    if (nodes[1] >= cells) continue;
    change[nodes[1]] -= path.arcs[i].flow;
    first_change[nodes[1]] -= path.flows[i];
  }
  for (int c = 0; c < cells; ++c) {
    carried += change[c];
    first_carried += first_change[c];
    if (path.fixed[c] != path.fixed[c]) continue;
    const LevelSlopes slopes = slopes_at(path.costs, c, path.fixed[c]);
    const double slope = path.fixed[c] == 0.0 ? -(slopes.right + carried) : slopes.left + carried;
    if (slope > 0.0) penalty = std::max(penalty, slope / std::fabs(first_carried));
  }
  const double bound = bound_of_flows(path, simplex, [&](int i) {
    const double limit = penalty * component.miss_weight(i) / path.arcs[i].size;
    return clip(path.arcs[i].flow + penalty * path.flows[i], -limit, limit);
  });
  return proof.prove(component.target_objective, bound - penalty * component.target_residual);
}

inline bool solve_hard_path(LinproPath& path, PathSimplex& simplex, PathProof& proof) {
  LinproComponent& component = path.component;
  price_cells(path, false);
  double size = 1.0;
  for (int i = 0; i < component.count; ++i) {
    const double price = component.miss_weight(i) / path.arcs[i].size;
    path.arcs[i].least = -price;
    path.arcs[i].most = price;
    size += std::fabs(component.targets[i]);
  }
  start_flows(path, simplex, nullptr);
  if (!simplex.minimise(most_path_pivots(path))) return false;
  read_path_scores(path, simplex);
  component.relaxed = component.worst_miss > kLinproGap * size;
  if (component.relaxed) {
    for (int i = 0; i < component.count; ++i)
      path.flows[i] = clip(path.arcs[i].flow, path.arcs[i].least, path.arcs[i].most);
    const double least = bound_of_flows(path, simplex, [&](int i) { return path.flows[i]; });
    return solve_relaxed_path(path, simplex, proof, least);
  }
  for (int i = 0; i < component.count; ++i) {
    path.arcs[i].least = -INFINITY;
    path.arcs[i].most = INFINITY;
  }
  price_cells(path, true);
  start_flows(path, simplex, nullptr);
  if (!simplex.minimise(most_path_pivots(path))) return false;
  read_path_scores(path, simplex);
  if (component.worst_miss > kLinproGap * size) return false;
  const double bound = bound_of_flows(path, simplex, [&](int i) { return path.arcs[i].flow; });
  return proof.prove(component.target_objective, bound);
}

// Solves a component whose instances, count and terms are set; the rest of it lies in the arena.
inline LinproSolution solve_path_component(LinproComponent& component, Arena& arena) {
  component.relaxed = false;
  scale_component(OneLane(), component);
  LinproPath path{component, nullptr, nullptr, nullptr, nullptr, nullptr, PathCosts{}, nullptr,
                  nullptr, nullptr};
  PathSimplex simplex(path.costs);
  if (!lay_out_path(path, arena)) return LinproSolution{false, 0, 0.0};
  if (!find_anchors(path, arena) || !build_path(path, simplex, arena))
    return LinproSolution{false, 0, 0.0};
  PathProof proof;
  price_cells(path, true);
  const bool proved = component.terms.hard ? solve_hard_path(path, simplex, proof)
                                           : solve_elastic_path(path, simplex, proof);
  return LinproSolution{proved, static_cast<int>(simplex.pivots), proof.gap};
}

}  // namespace gaufuse
