// A pivot of path_simplex.h: what enters its tree, how far its flow grows, what leaves, what moves.
// CPU only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gaufuse/path_levels.h"

namespace gaufuse {

struct PathCandidate {
  double at;  // flow around the cycle
  int cell;
  int leg;  // -1: the cell enters

  // Of a heap whose first is the least.
  bool operator<(const PathCandidate& other) const { return at > other.at; }
};

// Makes a heap of one but for its first.
inline void settle_top(PathCandidate* heap, int size) {
  const PathCandidate top = heap[0];
  int at = 0;
  for (int child = 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size) child += heap[child] < heap[child + 1];  // without a branch
    if (!(top < heap[child])) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = top;
}

// What changes between neighbours on the way around.
struct PathBreak {
  int leg;
  int order;    // along the way
  int cell;     // -1: the leg's arc
  double jump;  // of the area
};

struct PathPivots : PathLevels {
  double* moved;        // (cells,) in the pivot at hand: change of the cell's area
  PathCandidate* heap;  // (cells,)
  PathBreak* breaks;    // (cells + 1,)
  int break_count = 0;
  double tolerance = 0.0;  // of what enters
  int64_t pivots = 0;

  explicit PathPivots(PathCosts& path_costs) : PathLevels(path_costs) {}

  bool lay_out(Arena& arena) {
    const int64_t cells = costs.cells;
    moved = arena.take<double>(cells);
    heap = arena.take<PathCandidate>(cells);
    breaks = arena.take<PathBreak>(cells + 1);
    if (breaks == nullptr) return false;
    for (int64_t c = 0; c < cells; ++c) moved[c] = 0.0;
    return PathLevels::lay_out(arena);
  }

  // An arc or a cell (the other is -1) that misses by so much enters, and may carry `own_room`
  // more. False where nothing stops its flow.
  bool pivot(int arc, int cell, double miss, double own_room) {
    ++pivots;
    const bool is_cell = cell >= 0;
    const int from = is_cell ? cell : tree.nodes[2 * arc];
    const int to = is_cell ? cell + 1 : tree.nodes[2 * arc + 1];
    const double sign = miss > 0.0 ? 1.0 : -1.0;
    tree.find_way(from, to);

    // How far arcs let the flow grow, then cells.
    double most = is_cell ? INFINITY : own_room;
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
    int size = 0;
    if (is_cell && own_room < most) heap[size++] = PathCandidate{own_room, cell, -1};
    if (!grow_over_cells(size, sign, most, rest, leaving_leg, leaving_cell)) return false;
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
      push[cell] = -left[cell];
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

  // Lets the flow grow up to `most`: cells go from knot to knot while `rest`, what is still missed,
  // lasts. So does a cell that enters, which is in the heap already (`size`, leg -1), and misses
  // less with each. Where a cell stops the flow, `most` is the flow, and it stands between its
  // knots.
  bool grow_over_cells(int size, double sign, double& most, double& rest, int& leaving_leg,
                       int& leaving_cell) {
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
      const PathCandidate next = heap[0];
      const int c = next.cell;
      const bool enters = next.leg < 0;
      const bool forward = !enters && tree.legs[next.leg].from < tree.legs[next.leg].to;
      const bool falls = (sign > 0.0) == forward;
      const Knot knot =
          falls ? knot_below(costs, c, low[c], place[c]) : knot_above(costs, c, high[c], place[c]);
      const double way = sizes[c] * (falls ? low[c] - knot.at : knot.at - high[c]);
      if (!(way < rest - tolerance)) {
        most = next.at;
        leaving_leg = next.leg;
        leaving_cell = enters ? -1 : c;
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
      if (!enters) {
        if (moved[c] == 0.0) breaks[break_count++] = PathBreak{next.leg, 0, c, 0.0};
        moved[c] += falls ? -way : way;
      }
      low[c] = high[c] = knot.at;
      place[c] = knot.position;
      if (falls) {
        right[c] = left[c];
        left[c] = left[c] - knot.jump;
      } else {
        left[c] = right[c];
        right[c] = right[c] + knot.jump;
      }
      heap[0].at += knot.jump;
      if (!(heap[0].at < most)) heap[0] = heap[--size];
      settle_top(heap, size);
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
