// A spanning tree of the nodes 0 .. cells of a path, whose edges are cells (from node c to c + 1)
// and arcs (from any node to any other): runs of nodes that cells join, joined by arcs. A run is
// known by its first node, and found by the cells that are cut; its arcs by the nodes that have
// some. A window of nodes can be looked at alone: a tree of its own, with a root of its own. CPU
// only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gaufuse/arena.h"
#include "gaufuse/index_set.h"

namespace gaufuse {

// An arc with a direction: 2 * number from its first node to its second, 2 * number + 1 back.
inline int reversed(int step) { return step ^ 1; }

// Part of a way through the tree: along cells from a node to another, then over an arc.
struct PathLeg {
  int from;
  int to;
  int step;  // -1: none, the last leg
};

struct NodeRange {
  int first;
  int last;
};

constexpr int kNoStep = -1;

struct PathTree {
  int cells;
  IndexSet cuts;  // cells that are not edges
  IndexSet hubs;  // nodes of arcs that are
  int* nodes;     // (2 * arcs,) where a step begins: nodes[2 i], and where it ends: nodes[2 i + 1]
  int* head;      // (cells + 1,) a step that begins at the node
  int* next;      // (2 * arcs,) another one
  int* parent;    // (cells + 1,) of a run: its step towards the root
  int* mark;      // (cells + 1,) of a run
  int marks = 0;
  int first_node;  // of the window
  int last_node;
  int* head_parent;  // (cells + 1,) `parent` of a closed window's first node, which windows share
  int* tail_parent;  // (cells + 1,) and of its last one
  PathLeg* legs;     // (cells + 1,) what find_way() found
  int leg_count = 0;
  int* up;  // (2, cells + 1) scratch

  bool lay_out(Arena& arena, int cell_count, int arcs) {
    cells = cell_count;
    const int64_t node_count = static_cast<int64_t>(cells) + 1;
    if (!cuts.lay_out(arena, cells) || !hubs.lay_out(arena, cells + 1)) return false;
    nodes = arena.take<int>(2 * static_cast<int64_t>(arcs));
    head = arena.take<int>(node_count);
    next = arena.take<int>(2 * static_cast<int64_t>(arcs));
    parent = arena.take<int>(node_count);
    mark = arena.take<int>(node_count);
    head_parent = arena.take<int>(node_count);
    tail_parent = arena.take<int>(node_count);
    legs = arena.take<PathLeg>(node_count);
    up = arena.take<int>(2 * node_count);
    if (up == nullptr) return false;
    clear();
    return true;
  }

  // The path alone.
  void clear() {
    cuts.clear();
    hubs.clear();
    marks = 0;
    look_at(0, cells);
    for (int v = 0; v <= cells; ++v) {
      head[v] = parent[v] = kNoStep;
      mark[v] = 0;
    }
  }

  int first_of(int node) const {
    return std::max(first_node, cuts.previous(static_cast<int64_t>(node) - 1) + 1);
  }
  int last_of(int node) const { return std::min(last_node, cuts.next(node)); }
  bool in_window(int node) const { return node >= first_node && node <= last_node; }
  int begin_of(int step) const { return nodes[step]; }
  int end_of(int step) const { return nodes[step ^ 1]; }

  void add_arc(int arc) {
    for (int step = 2 * arc; step <= 2 * arc + 1; ++step) {
      const int node = begin_of(step);
      next[step] = head[node];
      head[node] = step;
      hubs.add(node);
    }
  }

  void remove_arc(int arc) {
    for (int step = 2 * arc; step <= 2 * arc + 1; ++step) {
      const int node = begin_of(step);
      int* at = &head[node];
      while (*at != step) at = &next[*at];
      *at = next[step];
      if (head[node] == kNoStep) hubs.remove(node);
    }
  }

  void look_at(int first, int last) {
    first_node = first;
    last_node = last;
  }

  // A window with nothing but cells.
  void open_new(int first, int last) {
    look_at(first, last);
    parent[first] = kNoStep;
  }

  // A window that was closed.
  void open_again(int first, int last) {
    look_at(first, last);
    parent[first] = head_parent[first];
    if (first_of(last) == last) parent[last] = tail_parent[last];
  }

  // Two neighbours that were closed, as one: the root of the right one goes to where they meet.
  void open_both(int first, int middle, int last) {
    open_again(middle, last);
    make_root(middle);
    open_again(first, middle);
    look_at(first, last);
  }

  void close() {
    head_parent[first_node] = parent[first_node];
    tail_parent[last_node] = parent[last_node];
  }

  void make_root(int node) {
    int run = first_of(node);
    int came_by = kNoStep;
    while (true) {
      const int step = parent[run];
      parent[run] = came_by;
      if (step == kNoStep) return;
      came_by = reversed(step);
      run = first_of(end_of(step));
    }
  }

  // The way from a node to another, into `legs`. Both ends climb by turns until they meet.
  void find_way(int from, int to) {
    leg_count = 0;
    int run[2] = {first_of(from), first_of(to)};
    int* climbed[2] = {up, up + cells + 1};
    int count[2] = {0, 0};
    int meeting = run[0];
    if (run[0] != run[1]) {
      marks += 2;
      mark[run[0]] = marks;
      mark[run[1]] = marks + 1;
      for (int side = 0;; side ^= 1) {
        const int step = parent[run[side]];
        if (step == kNoStep) continue;
        climbed[side][count[side]++] = step;
        run[side] = first_of(end_of(step));
        meeting = run[side];
        if (mark[meeting] == marks + (side ^ 1)) break;
        mark[meeting] = marks + side;
      }
      // One end may have climbed beyond.
      const int ends[2] = {first_of(from), first_of(to)};
      for (int side = 0; side < 2; ++side) {
        int kept = 0;
        for (int at = ends[side]; at != meeting; ++kept) at = first_of(end_of(climbed[side][kept]));
        count[side] = kept;
      }
    }
    int at = from;
    const auto go = [&](int step) {
      legs[leg_count++] = PathLeg{at, begin_of(step), step};
      at = end_of(step);
    };
    for (int i = 0; i < count[0]; ++i) go(climbed[0][i]);
    apex = leg_count;
    for (int i = count[1]; i-- > 0;) go(reversed(climbed[1][i]));
    legs[leg_count++] = PathLeg{at, to, kNoStep};
  }
  int apex = 0;  // the leg in the run that is nearest to the root
};

// Walks a part of a tree, run by run.
struct PartWalk {
  NodeRange* ranges;  // (cells + 1,) the runs
  int* steps;         // (cells + 1,) still to be taken
  int range_count;
  int step_count;

  bool lay_out(Arena& arena, int cells) {
    ranges = arena.take<NodeRange>(static_cast<int64_t>(cells) + 1);
    steps = arena.take<int>(static_cast<int64_t>(cells) + 1);
    return steps != nullptr;
  }

  void start(const PathTree& tree, int node) {
    range_count = step_count = 0;
    enter(tree, node, kNoStep);
  }

  bool done() const { return step_count == 0; }

  void advance(const PathTree& tree) {
    const int step = steps[--step_count];
    enter(tree, tree.end_of(step), reversed(step));
  }

  void enter(const PathTree& tree, int node, int came_by) {
    const NodeRange run{tree.first_of(node), tree.last_of(node)};
    ranges[range_count++] = run;
    for (int hub = tree.hubs.next(run.first); hub <= run.last; hub = tree.hubs.next(hub + 1))
      for (int step = tree.head[hub]; step != kNoStep; step = tree.next[step])
        if (step != came_by && tree.in_window(tree.end_of(step))) steps[step_count++] = step;
  }
};

}  // namespace gaufuse
