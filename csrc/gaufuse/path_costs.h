// What the cells of a large LinPro component pay in their own levels, and how it changes from knot
// to knot. A cell covered by k instances has k + 1 of them: lists of all would take K^2 numbers, so
// neighbouring cells share one, in which each passes over what does not cover it. CPU only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gaufuse/arena.h"
#include "gaufuse/index_set.h"
#include "gaufuse/sum_tree.h"

namespace gaufuse {

// A term price |x - at| of every cell in [from, to).
struct LevelTerm {
  double at;
  double price;
  int from;
  int to;
};

inline bool is_below(const LevelTerm& term, double at) { return term.at < at; }

// sum of price and of price times `at`, over terms.
struct TermSum {
  double price;
  double moment;

  TermSum operator+(const TermSum& other) const {
    return TermSum{price + other.price, moment + other.moment};
  }
};

// A knot: where the slope of a cell's cost jumps; [0, 1] ends with infinite jumps.
struct Knot {
  double at;
  double jump;
  int position;  // in the cell's list: the first term with this `at` or more
};

// Of every cell f(x) = sparsity x + anchor_price |x - anchor| + its terms, 0 <= x <= 1.
// All arrays are the arena's, or the caller's.
struct PathCosts {
  int cells;
  int count;
  const LevelTerm* terms;  // (count,) by `at`
  const int* by_from;      // (count,) terms by `from`
  const int* by_to;        // (count,) terms by `to`
  const double* anchors;   // (cells,)
  double anchor_price;
  double sparsity;
  bool priced;           // false: terms and anchors cost nothing, whatever the lists say
  LevelTerm* list;       // of blocks of cells, one after the other, each by `at`
  int64_t* block_begin;  // (cells,) of the cell's block
  int64_t* block_end;    // (cells,)
  SumTree<TermSum> active;
};

// The part of the lists that a cell must look at.
struct CellList {
  const LevelTerm* terms;
  int size;
  int cell;

  bool counts(int i) const { return terms[i].from <= cell && cell < terms[i].to; }
};

inline CellList list_of(const PathCosts& costs, int cell) {
  const int64_t begin = costs.block_begin[cell];
  const int64_t size = costs.priced ? costs.block_end[cell] - begin : 0;
  return CellList{costs.list + begin, static_cast<int>(size), cell};
}

// Calls visit(cell) for the cells in order, with the terms that cover it in costs.active.
template <typename Visit>
void sweep_cells(PathCosts& costs, Visit visit) {
  int begun = 0;
  int ended = 0;
  for (int c = 0; c < costs.cells; ++c) {
    for (; ended < costs.count && costs.terms[costs.by_to[ended]].to <= c; ++ended)
      costs.active.set(costs.by_to[ended], TermSum{0.0, 0.0});
    for (; begun < costs.count && costs.terms[costs.by_from[begun]].from <= c; ++begun) {
      const LevelTerm& term = costs.terms[costs.by_from[begun]];
      costs.active.set(costs.by_from[begun], TermSum{term.price, term.price * term.at});
    }
    visit(c);
  }
  for (; ended < costs.count; ++ended) costs.active.set(costs.by_to[ended], TermSum{0.0, 0.0});
}

// The least x in [0, 1] at which f(x) + push x is least. In a sweep.
inline double best_level(const PathCosts& costs, int cell, double push) {
  // The slope right of a term: push + sparsity - total + 2 (sum up to it), and the anchor's sign.
  const double half = 0.5 * (costs.active.total().price - costs.sparsity - push);
  const auto level = [&](double least) -> double {
    if (!(least > 0.0)) return -INFINITY;
    const int rank = costs.active.find(least, [](const TermSum& sum) { return sum.price; });
    return rank < costs.count ? costs.terms[rank].at : INFINITY;
  };
  double best = level(half);
  if (costs.anchor_price > 0.0) {
    const double anchor = costs.anchors[cell];
    if (best > anchor)
      best = std::min(best, std::max(anchor, level(half - 0.5 * costs.anchor_price)));
    else
      best = std::max(best, std::min(anchor, level(half + 0.5 * costs.anchor_price)));
  }
  return std::clamp(best, 0.0, 1.0);
}

// f(x) without the constant that terms and the anchor are worth at zero. In a sweep.
inline double cost_of_level(const PathCosts& costs, int cell, double x) {
  const LevelTerm* end = costs.terms + costs.count;
  const int rank = static_cast<int>(std::lower_bound(costs.terms, end, x, is_below) - costs.terms);
  const TermSum all = costs.active.total();
  const TermSum below = costs.active.sum_before(rank);
  double cost =
      costs.sparsity * x + (2.0 * below.price - all.price) * x + all.moment - 2.0 * below.moment;
  if (costs.anchor_price > 0.0) cost += costs.anchor_price * std::fabs(x - costs.anchors[cell]);
  return cost;
}

// A cell's slopes at x: left and right of it, infinite outside of [0, 1], and the place of x in the
// cell's list. In a sweep.
struct LevelSlopes {
  double left;
  double right;
  int position;
};

inline LevelSlopes slopes_at(const PathCosts& costs, int cell, double x) {
  const LevelTerm* end = costs.terms + costs.count;
  const LevelTerm* from = std::lower_bound(costs.terms, end, x, is_below);
  const LevelTerm* to =
      std::upper_bound(from, end, x, [](double at, const LevelTerm& term) { return at < term.at; });
  const double all = costs.active.total().price;
  const double below = costs.active.sum_before(static_cast<int>(from - costs.terms)).price;
  const double up_to =
      to == from ? below : costs.active.sum_before(static_cast<int>(to - costs.terms)).price;
  LevelSlopes slopes{costs.sparsity + 2.0 * below - all, costs.sparsity + 2.0 * up_to - all, 0};
  slopes.left += costs.anchors[cell] < x ? costs.anchor_price : -costs.anchor_price;
  slopes.right += costs.anchors[cell] <= x ? costs.anchor_price : -costs.anchor_price;
  if (x <= 0.0) slopes.left = -INFINITY;
  if (x >= 1.0) slopes.right = INFINITY;
  const CellList list = list_of(costs, cell);
  const LevelTerm* place = std::lower_bound(list.terms, list.terms + list.size, x, is_below);
  slopes.position = static_cast<int>(place - list.terms);
  return slopes;
}

// The next knot above x < 1; position as of x, or of anything above.
inline Knot knot_above(const PathCosts& costs, int cell, double x, int position) {
  const CellList list = list_of(costs, cell);
  int i = position;
  while (i < list.size && (list.terms[i].at <= x || !list.counts(i))) ++i;
  Knot knot{1.0, INFINITY, i};
  if (i < list.size) knot.at = std::min(knot.at, list.terms[i].at);
  const bool anchored = costs.anchor_price > 0.0 && costs.anchors[cell] > x;
  if (anchored) knot.at = std::min(knot.at, costs.anchors[cell]);
  if (knot.at >= 1.0) return knot;
  knot.jump = anchored && costs.anchors[cell] == knot.at ? 2.0 * costs.anchor_price : 0.0;
  for (; i < list.size && list.terms[i].at <= knot.at; ++i)
    if (list.counts(i)) knot.jump += 2.0 * list.terms[i].price;
  return knot;
}

// The next knot below x > 0; position as of x, or of the next knot above it.
inline Knot knot_below(const PathCosts& costs, int cell, double x, int position) {
  const CellList list = list_of(costs, cell);
  int i = position - 1;
  while (i >= 0 && (list.terms[i].at >= x || !list.counts(i))) --i;
  Knot knot{0.0, INFINITY, i + 1};
  if (i >= 0) knot.at = std::max(knot.at, list.terms[i].at);
  const bool anchored = costs.anchor_price > 0.0 && costs.anchors[cell] < x;
  if (anchored) knot.at = std::max(knot.at, costs.anchors[cell]);
  if (knot.at > 0.0)
    knot.jump = anchored && costs.anchors[cell] == knot.at ? 2.0 * costs.anchor_price : 0.0;
  for (; i >= 0 && list.terms[i].at >= knot.at; --i)
    if (knot.at > 0.0 && list.counts(i)) knot.jump += 2.0 * list.terms[i].price;
  knot.position = i + 1;
  return knot;
}

// Lists of blocks. A block ends where as many terms began or ended in it as cover its first cell
// (or kLeastBlock): its list is at most some times as long as what a cell of it must look at.
constexpr int kLeastBlock = 8;

inline bool build_lists(PathCosts& costs, IndexSet& ranks, Arena& arena) {
  const int cells = costs.cells;
  const int count = costs.count;
  // begins[c], ends[c]: of terms at cell c; blocks and how long their lists are
  int* changes = arena.take<int>(cells + 1);
  int* covering = arena.take<int>(cells + 1);
  costs.block_begin = arena.take<int64_t>(cells);
  costs.block_end = arena.take<int64_t>(cells);
  if (costs.block_end == nullptr) return false;
  std::fill(changes, changes + cells + 1, 0);
  std::fill(covering, covering + cells + 1, 0);
  for (int i = 0; i < count; ++i) {
    if (!(costs.terms[i].price > 0.0)) continue;
    ++covering[costs.terms[i].from];
    ++changes[costs.terms[i].from];
    --covering[costs.terms[i].to];
    ++changes[costs.terms[i].to];
  }
  for (int c = 0; c < cells; ++c) covering[c + 1] += covering[c];
  const auto end_of_block = [&](int first) {
    int changed = 0;
    int c = first + 1;
    for (; c < cells; ++c) {
      changed += changes[c];
      if (changed > std::max(kLeastBlock, covering[first])) break;
    }
    return c;
  };
  int64_t most = 0;
  for (int first = 0; first < cells;) {
    const int end = end_of_block(first);
    most += covering[first];
    for (int c = first + 1; c < end; ++c) most += changes[c];  // no more than these begin
    first = end;
  }
  costs.list = arena.take<LevelTerm>(most);
  if (costs.list == nullptr) return false;
  ranks.clear();
  int64_t used = 0;
  int begun = 0;
  int ended = 0;
  for (int first = 0; first < cells;) {
    const int end = end_of_block(first);
    for (; ended < count && costs.terms[costs.by_to[ended]].to <= first; ++ended)
      ranks.remove(costs.by_to[ended]);
    for (; begun < count && costs.terms[costs.by_from[begun]].from < end; ++begun)
      if (costs.terms[costs.by_from[begun]].price > 0.0) ranks.add(costs.by_from[begun]);
    const int64_t begin = used;
    for (int rank = ranks.next(0); rank < count; rank = ranks.next(rank + 1))
      costs.list[used++] = costs.terms[rank];
    for (int c = first; c < end; ++c) {
      costs.block_begin[c] = begin;
      costs.block_end[c] = used;
    }
    first = end;
  }
  return true;
}

}  // namespace gaufuse
