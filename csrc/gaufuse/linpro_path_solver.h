// Solves a large component of LinPro on its path (linpro_path.h), and proves it as linpro_labels.h
// promises: flows within their limits bound the objective from below. CPU only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gaufuse/linpro_path.h"
#include "gaufuse/linpro_program.h"

namespace gaufuse {

struct PathSolver {
  LinproPath& path;
  PathSimplex& simplex;
  LinproComponent& component;
  double gap = 0.0;

  bool prove(double value, double excess) {
    const double own = std::fabs(excess) / std::max(1.0, std::fabs(value));
    gap = std::max(gap, own);
    return own <= kLinproGap;  // false for NaN, too
  }

  // From flows at the limits that the anchors ask for: they are right, nearly all.
  bool minimise(const double* fixed) {
    const LinproComponent& own = component;
    double* areas = simplex.area;
    areas[0] = 0.0;
    for (int c = 0; c < own.cells; ++c)
      areas[c + 1] = areas[c] + own.sizes[c] * clip(own.anchors[c], 0.0, 1.0);
    for (int i = 0; i < own.count; ++i) {
      PathArc& arc = path.arcs[i];
      const int* nodes = simplex.tree.nodes + 2 * i;
      const double miss = areas[nodes[1]] - areas[nodes[0]] - arc.target;
      const double flow = miss > 0.0 ? arc.most : arc.least;
      arc.flow = std::fabs(flow) < INFINITY ? flow : 0.0;
    }
    simplex.place_cells(fixed);
    const int64_t size = static_cast<int64_t>(own.count) + own.cells;
    if (!simplex.minimise(200 * (size + 50))) return false;
    read_path_scores(path, simplex);
    return true;
  }

  template <typename LimitOf>
  void limit_flows(LimitOf limit_of) {
    for (int i = 0; i < component.count; ++i) {
      path.arcs[i].most = limit_of(i);
      path.arcs[i].least = -path.arcs[i].most;
    }
  }

  double flow_of(int i) const {
    const PathArc& arc = path.arcs[i];
    return clip(arc.flow, arc.least, arc.most);
  }

  bool solve_elastic() {
    const auto limit = [&](int i) { return component.confidence_price(i) / path.arcs[i].size; };
    price_cells(path, true);
    limit_flows(limit);
    if (!minimise(nullptr)) return false;
    const double excess =
        evaluate_path(path, simplex, nullptr, [&](int i) { return flow_of(i); }, limit);
    return prove(component.target_objective, excess);
  }

  // Two phases: the least residual, then the least cost at it.
  bool solve_hard() {
    const auto limit = [&](int i) { return path.limit_of_miss(i); };
    double size = 1.0;
    for (int i = 0; i < component.count; ++i) size += std::fabs(component.targets[i]);
    price_cells(path, false);
    limit_flows(limit);
    if (!minimise(nullptr)) return false;
    for (int i = 0; i < component.count; ++i) path.least_flows[i] = flow_of(i);
    evaluate_path(path, simplex, nullptr, [&](int i) { return flow_of(i); }, limit);
    component.relaxed = component.worst_miss > kLinproGap * size;
    price_cells(path, true);
    return component.relaxed ? solve_relaxed() : solve_met(size);
  }

  bool solve_met(double size) {
    limit_flows([](int) { return INFINITY; });
    if (!minimise(nullptr)) return false;
    return prove_kept(nullptr) && component.worst_miss <= kLinproGap * size;
  }

  // Flows without limits: what constraints miss here is rounding.
  bool prove_kept(const double* fixed) {
    const double excess = evaluate_path(
        path, simplex, fixed, [&](int i) { return flow_of(i); }, [](int) { return 0.0; });
    return prove(component.target_objective, excess);
  }

  // What all solutions of the first phase share, by its flows, is kept: an instance that carries
  // less than it may is met, a full one missed on its own side or not at all, and a cell with a
  // push stands at its end. Proved are the residual, by the flows of the first phase, and the
  // objective among all labels that keep these. (The residual's price in the objective, by which
  // linpro_program.h proves both at once, is up to 1e10 in large components: it would multiply what
  // rounding left.)
  bool solve_relaxed() {
    sum_pushes(simplex, [&](int i) { return path.least_flows[i]; }, path.fixed);
    for (int c = 0; c < component.cells; ++c) {
      const double push = component.sizes[c] * path.fixed[c];
      path.fixed[c] = push > kLockFrom ? 0.0 : (push < -kLockFrom ? 1.0 : NAN);
    }
    for (int i = 0; i < component.count; ++i) {
      PathArc& arc = path.arcs[i];
      const double carried = arc.size * path.least_flows[i];
      arc.most = component.miss_weight(i) - carried > kLockFrom ? INFINITY : 0.0;
      arc.least = component.miss_weight(i) + carried > kLockFrom ? -INFINITY : 0.0;
    }
    return minimise(path.fixed) && prove_kept(path.fixed) &&
           prove(component.target_residual, excess_of_residual());
  }

  // By how much the scores' residual may lie above the least.
  double excess_of_residual() {
    double excess = 0.0;
    sum_pushes(simplex, [&](int i) { return path.least_flows[i]; }, simplex.push);
    for (int c = 0; c < component.cells; ++c) {
      const double push = component.sizes[c] * simplex.push[c];
      excess += push * component.scores[c] - std::min(0.0, push);
    }
    for (int i = 0; i < component.count; ++i) {
      const int* nodes = simplex.tree.nodes + 2 * i;
      const double miss = simplex.area[nodes[1]] - simplex.area[nodes[0]] - path.arcs[i].target;
      excess += path.limit_of_miss(i) * std::fabs(miss) - path.least_flows[i] * miss;
    }
    return excess;
  }
};

// Solves a component whose instances, count and terms are set; the rest of it lies in the arena.
inline LinproSolution solve_on_path(LinproComponent& component, Arena& arena) {
  component.relaxed = false;
  scale_component(OneLane(), component);
  LinproPath path(component);
  PathSimplex simplex(path.costs);
  if (!lay_out_path(path, arena) || !find_anchors(path, arena) || !build_path(path, simplex, arena))
    return LinproSolution{false, 0, 0.0};
  PathSolver solver{path, simplex, component};
  const bool proved = component.terms.hard ? solver.solve_hard() : solver.solve_elastic();
  return LinproSolution{proved, static_cast<int>(simplex.pivots), solver.gap};
}

}  // namespace gaufuse
