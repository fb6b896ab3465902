// Where the cells of a path stand, and the areas of its nodes: the state of path_simplex.h. CPU
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
constexpr int kAreaBlock = 8;              // bits

struct PathLevels {
  PathCosts& costs;
  const double* sizes = nullptr;  // (cells,)
  PathArc* arcs = nullptr;        // (arc_count,)
  int arc_count = 0;
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
  int* place;         // in the cell's list, of `high`
  // (cells + 1,) the sum of area[v] and offset[v >> kAreaBlock]
  double* area;
  double* offset;
  PartWalk walks[2];
  double area_tolerance = 0.0;

  explicit PathLevels(PathCosts& path_costs) : costs(path_costs) {}

  bool lay_out(Arena& arena) {
    const int64_t cells = costs.cells;
    if (!tree.lay_out(arena, costs.cells, arc_count)) return false;
    for (double** array : {&low, &high, &left, &right, &push, &fall_room, &rise_room, &cut_level})
      *array = arena.take<double>(cells);
    place = arena.take<int>(cells);
    area = arena.take<double>(cells + 1);
    offset = arena.take<double>((cells >> kAreaBlock) + 1);
    return walks[0].lay_out(arena, costs.cells) && walks[1].lay_out(arena, costs.cells);
  }

  // The tree of all cells, each at its best level for what the arcs carry. `fixed`: null, or a
  // level for each cell that it must keep, NaN for none.
  void place_cells(const double* fixed) {
    const int cells = costs.cells;
    tree.clear();
    for (int c = 0; c < cells; ++c) push[c] = 0.0;
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

  // Areas of the window's nodes, from the first one.
  void sum_levels() {
    const int first = tree.first_node;
    const int last = tree.last_node;
    for (int b = first >> kAreaBlock; b <= last >> kAreaBlock; ++b) offset[b] = 0.0;
    area[first] = 0.0;
    for (int c = first; c < last; ++c)
      area[c + 1] = area[c] + sizes[c] * (tree.cuts.has(c) ? cut_level[c] : low[c]);
  }
};

}  // namespace gaufuse
