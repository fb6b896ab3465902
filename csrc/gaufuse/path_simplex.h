// Network simplex on a path, for
//
//   min sum_c n_c f_c(x_c) + sum_i phi_i(a_{to_i} - a_{from_i} - target_i),
//       n_c x_c = a_{c+1} - a_c,
//
// with the areas a of the nodes 0 .. cells as unknowns, f_c as in path_costs.h, and phi_i(miss) =
// most_i miss for a positive miss, least_i miss for a negative one, least_i <= 0 <= most_i;
// infinite ones make constraints. It is the dual of a minimum-cost flow: arc i carries between
// least_i and most_i, and what arcs carry over a cell, its push, must be minus a slope of f_c at
// its level.
//
// A spanning tree's cells stand at knots and its arcs miss nothing: that makes the areas. An arc
// that misses, or a cell outside of its tree whose level lies beyond its knots, enters: its flow
// grows around the cycle that it closes. Cells on the way that reach the end of a slope go on to
// their next knot as long as that does not overshoot (the long step), and so does a cell that
// enters; what stops it leaves.
// Most cycles are short: windows of few cells are settled first, then twice as large ones, so that
// what a pivot moves is as near as the arcs that matter to it. In a window the worst misses come
// first, arcs' before cells': many of the others are gone when it is their turn. Certificates are
// the caller's. CPU only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gaufuse/path_pivots.h"

namespace gaufuse {

constexpr int kLeastWindow = 64;      // cells
constexpr double kNextMisses = 0.75;  // of the worst miss: what is nearly as bad enters, too

struct PathSimplex : PathPivots {
  int* order;    // (arc_count,) in which arcs are looked at
  int* missing;  // (max(arc_count, cells),) what asks for a pivot
  double miss;   // of what was looked at last

  explicit PathSimplex(PathCosts& path_costs) : PathPivots(path_costs) {}

  bool lay_out(Arena& arena) {
    order = arena.take<int>(arc_count);
    missing = arena.take<int>(std::max(arc_count, costs.cells));
    return missing != nullptr && PathPivots::lay_out(arena);
  }

  // Minimises from place_cells(). False: infeasible, or too many pivots.
  bool minimise(int64_t most_pivots) {
    const int cells = costs.cells;
    const int64_t last_pivot = pivots + most_pivots;
    for (int i = 0; i < arc_count; ++i) order[i] = i;
    std::sort(order, order + arc_count, [&](int a, int b) {
      const int from_a = tree.nodes[2 * a];
      const int from_b = tree.nodes[2 * b];
      if (from_a != from_b) return from_a < from_b;
      return arcs[a].size != arcs[b].size ? arcs[a].size < arcs[b].size : a < b;
    });
    for (int64_t width = kLeastWindow;; width *= 2) {
      int begin = 0;
      for (int64_t first = 0; first < cells; first += width) {
        const int last = static_cast<int>(std::min<int64_t>(first + width, cells));
        const int64_t middle = first + width / 2;
        const int from = static_cast<int>(first);
        if (width == kLeastWindow)
          tree.open_new(from, last);
        else if (middle < last)
          tree.open_both(from, static_cast<int>(middle), last);
        else
          tree.open_again(from, last);
        sum_levels();
        int end = begin;
        while (end < arc_count && tree.nodes[2 * order[end]] < last) ++end;
        if (!settle_window(begin, end, last_pivot)) return false;
        begin = end;
        for (int c = tree.cuts.next(first); c < last; c = tree.cuts.next(c + 1))
          cut_level[c] = level_of(c);
        tree.close();
      }
      if (width >= cells) return true;
    }
  }

  // Pivots for arcs in [begin, end) of `order` and for cells, as far as they are within the window.
  // What cells do to arcs is left to a larger one, but if this one is all.
  bool settle_window(int begin, int end, int64_t last_pivot) {
    const bool all = tree.first_node == 0 && tree.last_node == costs.cells;
    const auto visit_arcs = [&](auto visit) {
      for (int k = begin; k < end; ++k)
        if (tree.nodes[2 * order[k] + 1] <= tree.last_node) visit(order[k]);
    };
    const auto visit_cells = [&](auto visit) {
      for (int c = tree.cuts.next(tree.first_node); c < tree.last_node; c = tree.cuts.next(c + 1))
        visit(c);
    };
    const auto look_at_arc = [&](int i) { return miss_arc(i); };
    const auto look_at_cell = [&](int c) { return miss_cell(c); };
    for (bool changed = true; changed;) {
      changed = false;
      if (!settle(visit_arcs, look_at_arc, last_pivot, changed,
                  [&](int i) { return pivot(i, -1, miss, room_of(i)); }) ||
          !settle(visit_cells, look_at_cell, last_pivot, changed,
                  [&](int c) { return enter_cell(c); }))
        return false;
      if (!all) return true;
      if (changed) refresh_areas();
    }
    return true;
  }

  // Pivots until none of what visit_all() visits misses; it is asked anew only when all that it
  // found have entered or miss no more. False only where nothing stops the flow (no areas satisfy
  // the constraints), or after too many pivots.
  template <typename VisitAll, typename MissedLevel, typename Enter>
  bool settle(VisitAll visit_all, MissedLevel missed_level, int64_t last_pivot, bool& changed,
              Enter enter) {
    while (true) {
      int count = 0;
      double worst = 0.0;
      visit_all([&](int i) {
        const double level = missed_level(i);
        if (!(level > 0.0)) return;
        missing[count++] = i;
        worst = std::max(worst, level);
      });
      if (count == 0) return true;
      changed = true;
      while (count > 0) {
        const int looked_at = count;
        const double least = kNextMisses * worst;
        count = 0;
        worst = 0.0;
        for (int k = 0; k < looked_at; ++k) {
          const int i = missing[k];
          const double level = missed_level(i);
          if (!(level > 0.0)) continue;
          if (level >= least) {
            if (!enter(i) || pivots > last_pivot) return false;
          } else {
            missing[count++] = i;
            worst = std::max(worst, level);
          }
        }
      }
    }
  }

  double room_of(int i) const {
    const PathArc& arc = arcs[i];
    return miss > 0.0 ? arc.most - arc.flow : arc.flow - arc.least;
  }

  // By how much an arc outside of the tree that may carry more of what its miss asks for misses in
  // its mean; else zero.
  double miss_arc(int i) {
    const PathArc& arc = arcs[i];
    if (arc.in_tree) return 0.0;
    miss = miss_of(i);
    tolerance = kLevelTolerance * arc.size + area_tolerance;
    if (!(std::fabs(miss) > tolerance) || !(room_of(i) > 0.0)) return 0.0;
    return std::fabs(miss) / arc.size;
  }

  // By how much the level of a cell outside of the tree lies beyond its knots.
  double miss_cell(int c) {
    if (!tree.cuts.has(c)) return 0.0;
    const double gain = area_at(c + 1) - area_at(c);
    miss = gain - sizes[c] * high[c];
    if (miss <= 0.0) miss = std::min(0.0, gain - sizes[c] * low[c]);
    tolerance = kLevelTolerance * sizes[c] + area_tolerance;
    return std::fabs(miss) > tolerance ? std::fabs(miss) / sizes[c] : 0.0;
  }

  // It comes to stand at the knot that it is beyond.
  bool enter_cell(int c) {
    const bool above = miss > 0.0;
    const double slope = left[c];
    if (above) {
      const double at = high[c];
      right[c] = at < 1.0 ? slope + knot_above(costs, c, low[c], place[c]).jump : INFINITY;
      low[c] = at;
    } else {
      const Knot knot = knot_below(costs, c, high[c], place[c]);
      left[c] = low[c] > 0.0 ? slope - knot.jump : -INFINITY;
      high[c] = low[c];
      place[c] = knot.position;
    }
    return pivot(-1, c, miss, above ? right[c] - slope : slope - left[c]);
  }
};

}  // namespace gaufuse
