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
// their next knot as long as that does not overshoot (the long step); what stops it leaves.
// Most cycles are short: windows of few cells are settled first, then twice as large ones, so that
// what a pivot moves is as near as the arcs that matter to it. Certificates are the caller's. CPU
// only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gaufuse/path_pivots.h"

namespace gaufuse {

constexpr int kLeastWindow = 64;  // cells
constexpr int kWindowPasses = 4;  // over a window that is not all

struct PathSimplex : PathPivots {
  int* order;  // (arc_count,) in which arcs are looked at

  explicit PathSimplex(PathCosts& path_costs) : PathPivots(path_costs) {}

  bool lay_out(Arena& arena) {
    order = arena.take<int>(arc_count);
    return order != nullptr && PathPivots::lay_out(arena);
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

  // Pivots until nothing within the window asks for one: arcs in [begin, end) of `order`, and
  // cells.
  bool settle_window(int begin, int end, int64_t last_pivot) {
    const bool all = tree.first_node == 0 && tree.last_node == costs.cells;
    bool changed = true;
    for (int pass = 0; changed && (all || pass < kWindowPasses); ++pass) {
      changed = false;
      for (int k = begin; k < end; ++k) {
        if (tree.nodes[2 * order[k] + 1] > tree.last_node) continue;
        if (!look_at_arc(order[k], changed) || pivots > last_pivot) return false;
      }
      for (bool more = true; more;) {
        more = false;
        for (int c = tree.cuts.next(tree.first_node); c < tree.last_node; c = tree.cuts.next(c + 1))
          if (!look_at_cell(c, more) || pivots > last_pivot) return false;
        changed |= more;
      }
      if (all && changed) refresh_areas();
    }
    return true;
  }

  // Whether an arc outside of the tree carries what its miss asks for; pivots where it does not.
  // False only where nothing stops the flow: no areas satisfy the constraints.
  bool look_at_arc(int i, bool& changed) {
    const PathArc& arc = arcs[i];
    if (arc.in_tree) return true;
    const double miss = miss_of(i);
    tolerance = kLevelTolerance * arc.size + area_tolerance;
    if (!(std::fabs(miss) > tolerance)) return true;
    const double room = miss > 0.0 ? arc.most - arc.flow : arc.flow - arc.least;
    if (!(room > 0.0)) return true;
    changed = true;
    return pivot(i, -1, miss, room);
  }

  // The same of a cell outside of the tree.
  bool look_at_cell(int c, bool& changed) {
    const double gain = area_at(c + 1) - area_at(c);
    double miss = gain - sizes[c] * high[c];
    if (miss <= 0.0) miss = std::min(0.0, gain - sizes[c] * low[c]);
    tolerance = kLevelTolerance * sizes[c] + area_tolerance;
    if (!(std::fabs(miss) > tolerance)) return true;
    changed = true;
    // It comes to stand at the knot that it is beyond.
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
