// Network simplex on a path, for
//
//   min sum_c n_c f_c(x_c) + sum_i phi_i(a_{to_i} - a_{from_i} - target_i),   a_{c+1} - a_c = n_c
//   x_c,
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

#include "gaufuse/arena.h"
#include "gaufuse/path_costs.h"
#include "gaufuse/path_tree.h"

namespace gaufuse {

struct PathArc {
  double target;
  double least;
  double most;
  double flow;
  double size;  // snippets between its nodes
  bool in_tree;
};

constexpr double kLevelTolerance = 1e-12;  // of a mean level, and of areas, per snippet of all
constexpr int kLeastWindow = 64;           // cells
constexpr int kWindowPasses = 4;           // over a window that is not all
constexpr int kAreaBlock = 8;              // bits

struct PathCandidate {
  double at;  // flow around the cycle
  int cell;
  int leg;

  bool operator<(const PathCandidate& other) const {  // of a heap whose first is the least
    return at > other.at || (at == other.at && cell > other.cell);
  }
};

// What changes between neighbours on the way around.
struct PathBreak {
  int leg;
  int order;    // along the way
  int cell;     // -1: the leg's arc
  double jump;  // of the area
};

struct PathSimplex {
  PathCosts& costs;
  const double* sizes;  // (cells,)
  PathArc* arcs;        // (arc_count,)
  int arc_count;
  PathTree tree;
  // (cells,) each; a cell of the tree stands at `low` = `high`, one outside between them
  double* low;
  double* high;
  double* left;  // slopes left of `low` and right of `high`; in between: both the same
  double* right;
  double* push;
  double* fall_room;  // how far push may grow, and shrink, before the level changes
  double* rise_room;
  double* cut_level;  // of a cell outside of the tree, while its window is closed
  double* moved;      // of a cell, in the pivot at hand: change of its area
  int* place;         // in the cell's list, of `high`
  // (cells + 1,) the sum of area[v] and offset[v >> kAreaBlock]
  double* area;
  double* offset;
  int* order;           // (arc_count,) in which arcs are looked at
  PathCandidate* heap;  // (cells,)
  PathBreak* breaks;    // (cells + 1,)
  int break_count = 0;
  PartWalk walks[2];
  double area_tolerance = 0.0;
  double tolerance = 0.0;  // of what enters
  int64_t pivots = 0;

  explicit PathSimplex(PathCosts& path_costs) : costs(path_costs) {}

  bool lay_out(Arena& arena) {
    const int64_t cells = costs.cells;
    if (!tree.lay_out(arena, costs.cells, arc_count)) return false;
    for (double** array :
         {&low, &high, &left, &right, &push, &fall_room, &rise_room, &cut_level, &moved})
      *array = arena.take<double>(cells);
    place = arena.take<int>(cells);
    area = arena.take<double>(cells + 1);
    offset = arena.take<double>((cells >> kAreaBlock) + 1);
    order = arena.take<int>(arc_count);
    heap = arena.take<PathCandidate>(cells);
    breaks = arena.take<PathBreak>(cells + 1);
    return walks[0].lay_out(arena, costs.cells) && walks[1].lay_out(arena, costs.cells);
  }

  // The tree of all cells, each at its best level for what the arcs carry. `fixed`: null, or a
  // level for each cell that it must keep, NaN for none.
  void place_cells(const double* fixed) {
    const int cells = costs.cells;
    tree.clear();
    for (int c = 0; c < cells; ++c) push[c] = moved[c] = 0.0;
    area[cells] = 0.0;
    double carried = 0.0;
    double all = 0.0;
    double* change = area;  // scratch until areas are made
    for (int c = 0; c < cells; ++c) change[c] = 0.0;
    for (int i = 0; i < arc_count; ++i) {
      arcs[i].in_tree = false;
      change[tree.nodes[2 * i]] += arcs[i].flow;
      change[tree.nodes[2 * i + 1]] -= arcs[i].flow;
    }
    sweep_cells(costs, [&](int c) {
      carried += change[c];
      push[c] = carried;
      const bool is_fixed = fixed != nullptr && fixed[c] == fixed[c];
      const double level = is_fixed ? fixed[c] : best_level(costs, c, carried);
      const LevelSlopes slopes = slopes_at(costs, c, level);
      low[c] = high[c] = level;
      left[c] = is_fixed ? -INFINITY : slopes.left;
      right[c] = is_fixed ? INFINITY : slopes.right;
      place[c] = slopes.position;
      make_rooms(c);
      all += sizes[c];
    });
    area_tolerance = 1e-3 * kLevelTolerance * all;
    refresh_areas();
  }

  void make_rooms(int c) {
    fall_room[c] = std::max(0.0, -(push[c] + left[c]));
    rise_room[c] = std::max(0.0, push[c] + right[c]);
  }

  double area_at(int node) const { return area[node] + offset[node >> kAreaBlock]; }

  void shift_areas(NodeRange range, double by) {
    const int first_block = range.first >> kAreaBlock;
    const int last_block = range.last >> kAreaBlock;
    const int first_end =
        first_block == last_block ? range.last + 1 : (first_block + 1) << kAreaBlock;
    for (int v = range.first; v < first_end; ++v) area[v] += by;
    for (int b = first_block + 1; b < last_block; ++b) offset[b] += by;
    if (first_block != last_block)
      for (int v = last_block << kAreaBlock; v <= range.last; ++v) area[v] += by;
  }

  // Anew, from the tree.
  void refresh_areas() {
    const int cells = costs.cells;
    for (int b = 0; b <= cells >> kAreaBlock; ++b) offset[b] = 0.0;
    const auto fill_run = [&](NodeRange run, int known) {
      for (int v = known; v < run.last; ++v) area[v + 1] = area[v] + sizes[v] * low[v];
      for (int v = known; v > run.first; --v) area[v - 1] = area[v] - sizes[v - 1] * low[v - 1];
    };
    PartWalk& walk = walks[0];
    area[0] = 0.0;
    walk.start(tree, 0);
    fill_run(walk.ranges[0], 0);
    while (!walk.done()) {
      const int step = walk.steps[walk.step_count - 1];
      const double target = arcs[step >> 1].target;
      const int node = tree.end_of(step);
      area[node] = area[tree.begin_of(step)] + (step & 1 ? -target : target);
      walk.advance(tree);
      fill_run(walk.ranges[walk.range_count - 1], node);
    }
  }

  double level_of(int c) const {
    if (!tree.cuts.has(c)) return low[c];
    return std::clamp((area_at(c + 1) - area_at(c)) / sizes[c], low[c], high[c]);
  }

  double miss_of(int arc) const {
    return area_at(tree.nodes[2 * arc + 1]) - area_at(tree.nodes[2 * arc]) - arcs[arc].target;
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

  // Areas of the window's nodes, from the first one.
  void sum_levels() {
    const int first = tree.first_node;
    const int last = tree.last_node;
    for (int b = first >> kAreaBlock; b <= last >> kAreaBlock; ++b) offset[b] = 0.0;
    area[first] = 0.0;
    for (int c = first; c < last; ++c)
      area[c + 1] = area[c] + sizes[c] * (tree.cuts.has(c) ? cut_level[c] : low[c]);
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

  bool pivot(int arc, int cell, double miss, double own_room) {
    ++pivots;
    const bool is_cell = cell >= 0;
    const int from = is_cell ? cell : tree.nodes[2 * arc];
    const int to = is_cell ? cell + 1 : tree.nodes[2 * arc + 1];
    const double sign = miss > 0.0 ? 1.0 : -1.0;
    tree.find_way(from, to);

    // How far arcs let the flow grow, then cells.
    double most = own_room;
    int leaving_leg = -1;
    for (int l = 0; l + 1 < tree.leg_count; ++l) {
      const int step = tree.legs[l].step;
      const PathArc& other = arcs[step >> 1];
      const bool shrinks = (sign > 0.0) == !(step & 1);
      const double room =
          std::max(0.0, shrinks ? other.flow - other.least : other.most - other.flow);
      if (room < most) {
        most = room;
        leaving_leg = l;
      }
    }
    double rest = std::fabs(miss);
    int leaving_cell = -1;
    break_count = 0;
    if (!grow_over_cells(sign, most, rest, leaving_leg, leaving_cell)) return false;
    const bool leaves = leaving_leg >= 0;

    carry_around(sign, most);
    if (is_cell)
      push[cell] -= sign * most;
    else
      arcs[arc].flow += sign * most;
    for (int b = 0; b < break_count; ++b) make_rooms(breaks[b].cell);
    if (leaving_cell >= 0) push[leaving_cell] = -left[leaving_cell];

    if (leaving_cell >= 0) {
      if (moved[leaving_cell] == 0.0)
        breaks[break_count++] = PathBreak{leaving_leg, 0, leaving_cell, 0.0};
      const PathLeg& leg = tree.legs[leaving_leg];
      moved[leaving_cell] -= leg.from < leg.to ? sign * rest : -sign * rest;
    } else if (leaves) {
      breaks[break_count++] = PathBreak{leaving_leg, 0, -1, -sign * rest};
      const int step = tree.legs[leaving_leg].step;
      PathArc& other = arcs[step >> 1];
      other.flow = (sign > 0.0) == !(step & 1) ? other.least : other.most;
      other.in_tree = false;
      tree.remove_arc(step >> 1);
    } else if (is_cell) {
      // On to its next piece.
      stand_beyond(cell, miss > 0.0);
    } else {
      arcs[arc].flow = miss > 0.0 ? arcs[arc].most : arcs[arc].least;
    }
    move_areas(from, leaving_cell);
    if (!leaves) return true;
    swap_edges(arc, cell, leaving_leg, leaving_cell);
    if (is_cell)
      make_rooms(cell);
    else
      arcs[arc].in_tree = true;
    return true;
  }

  // A cell at a knot goes into the piece above or below it.
  void stand_beyond(int c, bool above) {
    if (above) {
      const Knot knot = knot_above(costs, c, high[c], place[c]);
      high[c] = knot.at;
      place[c] = knot.position;
      left[c] = right[c];
    } else {
      low[c] = knot_below(costs, c, low[c], place[c]).at;
      right[c] = left[c];
    }
    push[c] = -left[c];
  }

  // Lets the flow grow up to `most`: cells go from knot to knot while `rest`, what is still missed,
  // lasts. Where one stops it, `most` is the flow, and that cell stands between its knots.
  bool grow_over_cells(double sign, double& most, double& rest, int& leaving_leg,
                       int& leaving_cell) {
    int size = 0;
    for (int l = 0; l < tree.leg_count; ++l) {
      const PathLeg& leg = tree.legs[l];
      const bool forward = leg.from < leg.to;
      const double* room = (sign > 0.0) == forward ? fall_room : rise_room;
      const int begin = forward ? leg.from : leg.to;
      const int end = forward ? leg.to : leg.from;
      for (int c = begin; c < end; ++c)
        if (room[c] < most) heap[size++] = PathCandidate{room[c], c, l};
    }
    std::make_heap(heap, heap + size);
    while (size > 0) {
      std::pop_heap(heap, heap + size--);
      const PathCandidate next = heap[size];
      const int c = next.cell;
      const bool forward = tree.legs[next.leg].from < tree.legs[next.leg].to;
      const bool falls = (sign > 0.0) == forward;
      const Knot knot =
          falls ? knot_below(costs, c, low[c], place[c]) : knot_above(costs, c, high[c], place[c]);
      const double way = sizes[c] * (falls ? low[c] - knot.at : knot.at - high[c]);
      if (!(way < rest - tolerance)) {
        most = next.at;
        leaving_leg = next.leg;
        leaving_cell = c;
        if (falls) {
          low[c] = knot.at;
          right[c] = left[c];
        } else {
          high[c] = knot.at;
          place[c] = knot.position;
          left[c] = right[c];
        }
        break;
      }
      rest -= way;
      if (moved[c] == 0.0) breaks[break_count++] = PathBreak{next.leg, 0, c, 0.0};
      moved[c] += falls ? -way : way;
      low[c] = high[c] = knot.at;
      place[c] = knot.position;
      if (falls) {
        right[c] = left[c];
        left[c] = left[c] - knot.jump;
      } else {
        left[c] = right[c];
        right[c] = right[c] + knot.jump;
      }
      const double at = next.at + knot.jump;
      if (at < most) {
        heap[size++] = PathCandidate{at, c, next.leg};
        std::push_heap(heap, heap + size);
      }
    }
    return most < INFINITY;
  }

  void carry_around(double sign, double most) {
    if (!(most > 0.0)) return;
    for (int l = 0; l < tree.leg_count; ++l) {
      const PathLeg& leg = tree.legs[l];
      const bool forward = leg.from < leg.to;
      const double by = forward ? sign * most : -sign * most;
      const int begin = forward ? leg.from : leg.to;
      const int end = forward ? leg.to : leg.from;
      for (int c = begin; c < end; ++c) {
        push[c] += by;
        fall_room[c] = std::max(0.0, fall_room[c] - by);
        rise_room[c] = std::max(0.0, rise_room[c] + by);
      }
      if (leg.step != kNoStep)
        arcs[leg.step >> 1].flow -= leg.step & 1 ? -sign * most : sign * most;
    }
  }

  // Areas follow the breaks: nodes of the tree that hang together without them move together. Of
  // the first part and the last, the one that is walked sooner moves, the other stays.
  void move_areas(int from, int leaving_cell) {
    if (break_count == 0) return;
    double total = 0.0;
    for (int b = 0; b < break_count; ++b) {
      PathBreak& own = breaks[b];
      const PathLeg& leg = tree.legs[own.leg];
      const bool forward = leg.from < leg.to;
      if (own.cell < 0) {
        own.order = costs.cells;
      } else {
        own.order = forward ? own.cell : -own.cell;
        own.jump += forward ? moved[own.cell] : -moved[own.cell];
        tree.cuts.add(own.cell);
        moved[own.cell] = 0.0;
      }
      total += own.jump;
    }
    std::sort(breaks, breaks + break_count, [](const PathBreak& a, const PathBreak& b) {
      return a.leg != b.leg ? a.leg < b.leg : a.order < b.order;
    });
    const auto beyond = [&](const PathBreak& own) {
      const PathLeg& leg = tree.legs[own.leg];
      if (own.cell < 0) return tree.end_of(leg.step);
      return leg.from < leg.to ? own.cell + 1 : own.cell;
    };
    walks[0].start(tree, from);
    walks[1].start(tree, beyond(breaks[break_count - 1]));
    int side = 0;
    for (; !walks[side].done(); side ^= 1) walks[side].advance(tree);
    double jump = side == 0 ? -total : 0.0;  // of the part at hand
    if (side == 0)
      shift_part(walks[0], jump);
    else
      shift_part(walks[1], total);
    for (int b = 0; b + 1 < break_count; ++b) {
      jump += breaks[b].jump;
      walks[0].start(tree, beyond(breaks[b]));
      while (!walks[0].done()) walks[0].advance(tree);
      shift_part(walks[0], jump);
    }
    for (int b = 0; b < break_count; ++b)
      if (breaks[b].cell >= 0 && breaks[b].cell != leaving_cell) tree.cuts.remove(breaks[b].cell);
  }

  void shift_part(const PartWalk& walk, double by) {
    for (int r = 0; r < walk.range_count; ++r) shift_areas(walk.ranges[r], by);
  }

  // The entering arc or cell becomes an edge of the tree; the leaving cell (or, before, arc) none.
  void swap_edges(int arc, int cell, int leaving_leg, int leaving_cell) {
    const PathLeg* legs = tree.legs;
    const int last = tree.leg_count - 1;
    bool root_beyond = leaving_leg < tree.apex;  // the part of the way's begin has lost the root
    int first_lost = leaving_cell >= 0 ? leaving_leg : leaving_leg + 1;
    if (leaving_cell >= 0) {
      const int left_run = tree.first_of(leaving_cell);
      const int right_run = leaving_cell + 1;
      const int step = tree.parent[left_run];
      const bool forward = legs[leaving_leg].from < legs[leaving_leg].to;
      const bool root_is_left = step == kNoStep ? forward : tree.begin_of(step) <= leaving_cell;
      if (leaving_leg == tree.apex) root_beyond = root_is_left != forward;
      tree.parent[root_is_left ? left_run : right_run] = step;
      tree.cuts.add(leaving_cell);
    }
    if (root_beyond) {
      for (int l = leaving_leg; l > 0; --l)
        tree.parent[tree.first_of(legs[l].from)] = reversed(legs[l - 1].step);
    } else {
      for (int l = first_lost; l < last; ++l) tree.parent[tree.first_of(legs[l].to)] = legs[l].step;
    }
    const int from_run = tree.first_of(legs[0].from);
    const int to_run = tree.first_of(legs[last].to);
    if (cell >= 0) {
      if (root_beyond) tree.parent[from_run] = tree.parent[to_run];
      tree.cuts.remove(cell);
    } else {
      tree.add_arc(arc);
      tree.parent[root_beyond ? from_run : to_run] = 2 * arc + (root_beyond ? 0 : 1);
    }
  }
};

}  // namespace gaufuse
