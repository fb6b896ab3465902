// The linear program of a component: columns, simplex, proof. Shared by the CPU and CUDA.
//
// Columns: one for each piece of what a cell pays in its own x, then for each row the amount below
// its right side, then for each the amount above it. Rows: the confidences, then the differences of
// neighbouring cells of an instance (only where the variation has a price).
#pragma once

#include <cmath>
#include <cstdint>

#include "gaufuse/bounded_simplex.h"
#include "gaufuse/linpro_component.h"

namespace gaufuse {

constexpr double kLockFrom = 1e-9;  // reduced costs of phase 1 from here on are not zero

struct LinproPair {
  int64_t cell;  // and the one after it
  double price;
};

// All arrays are the arena's.
struct LinproProgram {
  LinproComponent& component;
  BoundedSimplex simplex = {};
  int pieces = 0;
  int rows = 0;
  int* cell_of = nullptr;           // (pieces,)
  int* first_piece = nullptr;       // (cells + 1,) those of a cell are neighbours
  double* cost = nullptr;           // (columns,)
  double* duals = nullptr;          // (rows,)
  LinproPair* pairs = nullptr;      // (rows - count,)
  double constant = 0.0;            // what the pieces' costs start from
  double gap = 0.0;                 // of the last proof
  double* piece_costs = nullptr;    // (pieces,) of phase 2
  double* least_reduced = nullptr;  // (columns,) of phase 1, the least residual
  double* least_duals = nullptr;    // (rows,) the same

  GAUFUSE_HD int below(int row) const { return pieces + row; }
  GAUFUSE_HD int above(int row) const { return pieces + rows + row; }

  // Of a piece: a row of a confidence holds M x, a row of a pair the difference of its cells.
  GAUFUSE_HD double row_entry(int row, int piece) const {
    const int cell = cell_of[piece];
    if (row < component.count) return component.entry(row, cell) * component.sizes[cell];
    const int64_t first = pairs[row - component.count].cell;
    return cell == first ? 1.0 : (cell == first + 1 ? -1.0 : 0.0);
  }
};

// Neighbouring cells within an instance.
template <typename Lanes>
GAUFUSE_HD_CALLED bool add_pairs(const Lanes& lanes, LinproProgram& program, Arena& arena) {
  const LinproComponent& component = program.component;
  program.rows = component.count;
  if (!(component.terms.variation > 0.0) || component.cells == 0) return true;
  LinproPair* pairs = arena.take<LinproPair>(component.cells);
  if (pairs == nullptr) return false;
  double weight = 0.0;
  program.rows += lanes.compact(
      component.cells - 1,
      [&](int c) {
        weight = 0.0;
        for (int i = 0; i < component.count; ++i)
          if (component.covers(i, c) && component.covers(i, c + 1)) weight += component.weight(i);
        return weight > 0.0;
      },
      [&](int c, int position) {
        pairs[position] = LinproPair{c, component.terms.variation * weight};
      });
  program.pairs = pairs;
  return true;
}

struct Add {
  GAUFUSE_HD int operator()(int a, int b) const { return a + b; }
};

// At most so many pieces: one more in a cell than its cost has breaks.
template <typename Lanes>
GAUFUSE_HD int count_pieces(const Lanes& lanes, const LinproComponent& component) {
  int mine = 0;
  for (int c = lanes.rank(); c < component.cells; c += lanes.size) {
    mine += 2;
    for (int i = 0; i < component.count; ++i) mine += component.covers(i, c);
  }
  return lanes.reduce(mine, Add());
}

// What a cell pays in its own x, sum_i b n |x - q_i| + c n |x - m| + g n x, is convex and piecewise
// linear. Calls visit(at, price) for its breaks, ascending.
template <typename Visit>
GAUFUSE_HD void each_break(const LinproComponent& component, int cell, Visit visit) {
  const double size = component.sizes[cell];
  const double anchor = component.anchor_target(cell);
  const double anchor_price = component.terms.anchor * size;
  bool covered = false;
  bool anchored = !(anchor_price > 0.0);
  for (int k = 0; k < component.count; ++k) {
    const int i = component.ascending[k];
    if (!component.covers(i, cell)) continue;
    covered = true;
    if (!anchored && anchor < component.targets[i]) {
      visit(anchor, anchor_price);
      anchored = true;
    }
    visit(component.targets[i], component.uniformity_price(i) * size);
  }
  if (covered && !anchored) visit(anchor, anchor_price);
}

// Calls visit(width, slope) for the pieces of it.
template <typename Visit>
GAUFUSE_HD void each_piece(const LinproComponent& component, int cell, Visit visit) {
  double slope = component.terms.sparsity * component.sizes[cell];
  each_break(component, cell, [&](double, double price) { slope -= price; });
  double from = 0.0;
  each_break(component, cell, [&](double at, double price) {
    const double to = clip(at, 0.0, 1.0);
    if (price > 0.0 && to > from) {
      visit(to - from, slope);
      from = to;
    }
    slope += 2.0 * price;
  });
  if (from < 1.0) visit(1.0 - from, slope);
}

// A column for every piece, bounded by its width and priced at its slope.
template <typename Lanes>
GAUFUSE_HD_CALLED void add_pieces(const Lanes& lanes, LinproProgram& program, double* upper) {
  const LinproComponent& component = program.component;
  const int cells = component.cells;
  for (int c = lanes.rank(); c < cells; c += lanes.size) {
    int pieces = 0;
    each_piece(component, c, [&](double, double) { ++pieces; });
    program.first_piece[c] = pieces;
  }
  lanes.sync();
  program.pieces = lanes.exclusive_sum(program.first_piece, cells);
  for (int c = lanes.rank(); c < cells; c += lanes.size) {
    int piece = program.first_piece[c];
    each_piece(component, c, [&](double width, double slope) {
      program.cell_of[piece] = c;
      upper[piece] = width;
      program.cost[piece++] = slope;
    });
  }
  if (lanes.rank() == 0) program.first_piece[cells] = program.pieces;
  program.constant = lanes.template sum<double>(cells, [&](int c) {
    double sum = 0.0;
    each_break(component, c, [&](double at, double price) { sum += price * fabs(at); });
    return sum;
  });
  lanes.sync();
}

template <typename Lanes>
GAUFUSE_HD void price_confidences(const Lanes& lanes, LinproProgram& program, double factor,
                                  bool at_prices) {
  const LinproComponent& component = program.component;
  for (int i = lanes.rank(); i < component.count; i += lanes.size)
    program.cost[program.below(i)] = program.cost[program.above(i)] =
        factor * (at_prices ? component.confidence_price(i) : component.miss_weight(i));
  lanes.sync();
}

template <typename Lanes>
GAUFUSE_HD void price_pairs(const Lanes& lanes, LinproProgram& program) {
  const int count = program.component.count;
  for (int r = count + lanes.rank(); r < program.rows; r += lanes.size)
    program.cost[program.below(r)] = program.cost[program.above(r)] =
        program.pairs[r - count].price;
  lanes.sync();
}

// The basis of amounts: row i holds M_i x + below_i - above_i = q_i, with its sign turned where q_i
// is negative.
template <typename Lanes>
GAUFUSE_HD_CALLED void start_simplex(const Lanes& lanes, LinproProgram& program) {
  BoundedSimplex& simplex = program.simplex;
  const int columns = simplex.columns;
  const int rows = program.rows;
  const auto right = [&](int r) {
    return r < program.component.count ? program.component.targets[r] : 0.0;
  };
  for (int r = 0; r < rows; ++r) {
    const double sign = right(r) < 0.0 ? -1.0 : 1.0;
    double* row = simplex.tableau + static_cast<int64_t>(r) * columns;
    for (int j = lanes.rank(); j < columns; j += lanes.size)
      row[j] = j < program.pieces      ? sign * program.row_entry(r, j)
               : j == program.below(r) ? sign
               : j == program.above(r) ? -sign
                                       : 0.0;
  }
  for (int r = lanes.rank(); r < rows; r += lanes.size) {
    const double sign = right(r) < 0.0 ? -1.0 : 1.0;
    const bool below = sign > 0.0;
    simplex.basis[r] = below ? program.below(r) : program.above(r);
    simplex.state[program.below(r)] = below ? kBasic : 0;
    simplex.state[program.above(r)] = below ? 0 : kBasic;
    simplex.values[r] = sign * right(r);
  }
  for (int j = lanes.rank(); j < program.pieces; j += lanes.size) simplex.state[j] = 0;
  simplex.pivots = 0;
  lanes.sync();
}

// Lays the program out in the arena. False: it does not fit.
template <typename Lanes>
GAUFUSE_HD_CALLED bool build_program(const Lanes& lanes, LinproProgram& program, Arena& arena) {
  const LinproComponent& component = program.component;
  if (!add_pairs(lanes, program, arena)) return false;
  const int rows = program.rows;
  const int most_pieces = count_pieces(lanes, component);
  const int most_columns = most_pieces + 2 * rows;
  BoundedSimplex& simplex = program.simplex;
  program.cell_of = arena.take<int>(most_pieces);
  program.first_piece = arena.take<int>(component.cells + 1);
  program.cost = arena.take<double>(most_columns);
  simplex.upper = arena.take<double>(most_columns);
  if (simplex.upper == nullptr) return false;
  add_pieces(lanes, program, simplex.upper);
  const int columns = program.pieces + 2 * rows;
  simplex.rows = rows;
  simplex.columns = columns;
  for (int j = program.pieces + lanes.rank(); j < columns; j += lanes.size) {
    simplex.upper[j] = INFINITY;
    program.cost[j] = 0.0;
  }
  lanes.sync();
  simplex.tableau = arena.take<double>(static_cast<int64_t>(rows) * columns);
  simplex.values = arena.take<double>(rows);
  simplex.reduced = arena.take<double>(columns);
  simplex.column = arena.take<double>(rows);
  simplex.basis = arena.take<int>(rows);
  simplex.state = arena.take<int>(columns);
  program.duals = arena.take<double>(rows);
  if (!component.terms.hard) return program.duals != nullptr;
  program.piece_costs = arena.take<double>(program.pieces);
  program.least_reduced = arena.take<double>(columns);
  program.least_duals = arena.take<double>(rows);
  return program.least_duals != nullptr;
}

template <typename Lanes>
GAUFUSE_HD bool minimise_costs(const Lanes& lanes, LinproProgram& program) {
  price(lanes, program.simplex, program.cost);
  return minimise(lanes, program.simplex);
}

template <typename Lanes>
GAUFUSE_HD_CALLED void read_scores(const Lanes& lanes, LinproProgram& program) {
  LinproComponent& component = program.component;
  const BoundedSimplex& simplex = program.simplex;
  for (int c = lanes.rank(); c < component.cells; c += lanes.size) {
    const int first = program.first_piece[c];
    const int end = program.first_piece[c + 1];
    double score = 0.0;
    for (int j = first; j < end; ++j)
      if (simplex.state[j] & kAtUpper) score += simplex.upper[j];
    for (int r = 0; r < program.rows; ++r)
      if (simplex.basis[r] >= first && simplex.basis[r] < end) score += simplex.values[r];
    component.scores[c] = clip(score, 0.0, 1.0);
  }
  lanes.sync();
  evaluate_component(lanes, component);
}

// The column of the amount below a row is a unit vector: its reduced cost tells the row's dual.
template <typename Lanes>
GAUFUSE_HD_CALLED void read_duals(const Lanes& lanes, LinproProgram& program) {
  const int count = program.component.count;
  for (int r = lanes.rank(); r < program.rows; r += lanes.size) {
    const int j = program.below(r);
    const double dual = program.cost[j] - program.simplex.reduced[j];
    const double most = r < count ? INFINITY : program.pairs[r - count].price;
    program.duals[r] = clip(dual, -most, most);
  }
  lanes.sync();
}

// Any y bounds sum_j cost_j v_j over the pieces v, subject to the rows, from below:
//   sum_i y_i q_i + sum_j upper_j min(0, cost_j - sum_r y_r row_rj),
// as long as no amount would gain by growing, which the caller sees to.
template <typename Lanes>
GAUFUSE_HD_CALLED double bound_of_duals(const Lanes& lanes, const LinproProgram& program) {
  const double of_rows = lanes.template sum<double>(program.component.count, [&](int i) {
    return program.duals[i] * program.component.targets[i];
  });
  const double of_pieces = lanes.template sum<double>(program.pieces, [&](int j) {
    double reduced = program.cost[j];
    for (int r = 0; r < program.rows; ++r) reduced -= program.duals[r] * program.row_entry(r, j);
    return reduced < 0.0 ? reduced * program.simplex.upper[j] : 0.0;
  });
  return of_rows + of_pieces;
}

GAUFUSE_HD bool prove(LinproProgram& program, double value, double bound) {
  const double size = fabs(value) > 1.0 ? fabs(value) : 1.0;
  program.gap = fabs(value - bound) / size;
  return program.gap <= kLinproGap;  // false for NaN, too
}

// No dual of a confidence's row may be more than what missing it costs.
template <typename Lanes, typename MostOf>
GAUFUSE_HD void clip_duals(const Lanes& lanes, LinproProgram& program, MostOf most_of) {
  for (int i = lanes.rank(); i < program.component.count; i += lanes.size) {
    const double most = most_of(i);
    program.duals[i] = clip(program.duals[i], -most, most);
  }
  lanes.sync();
}

template <typename Lanes>
GAUFUSE_HD_CALLED bool solve_elastic(const Lanes& lanes, LinproProgram& program) {
  LinproComponent& component = program.component;
  price_confidences(lanes, program, 1.0, true);
  price_pairs(lanes, program);
  if (!minimise_costs(lanes, program)) return false;
  read_scores(lanes, program);
  read_duals(lanes, program);
  clip_duals(lanes, program, [&](int i) { return component.confidence_price(i); });
  return prove(program, component.target_objective,
               program.constant + bound_of_duals(lanes, program));
}

template <typename Lanes>
GAUFUSE_HD void start_phase_two(const Lanes& lanes, LinproProgram& program) {
  for (int j = lanes.rank(); j < program.pieces; j += lanes.size)
    program.cost[j] = program.piece_costs[j];
  price_confidences(lanes, program, 0.0, false);
  price_pairs(lanes, program);
}

// Phase 2 where the constraints can be met: no amount may come back.
template <typename Lanes>
GAUFUSE_HD_CALLED bool solve_met(const Lanes& lanes, LinproProgram& program, double size) {
  LinproComponent& component = program.component;
  start_phase_two(lanes, program);
  for (int i = lanes.rank(); i < component.count; i += lanes.size)
    program.simplex.upper[program.below(i)] = program.simplex.upper[program.above(i)] = 0.0;
  lanes.sync();
  if (!minimise_costs(lanes, program)) return false;
  read_scores(lanes, program);
  if (component.worst_miss > kLinproGap * size) return false;
  read_duals(lanes, program);
  return prove(program, component.target_objective,
               program.constant + bound_of_duals(lanes, program));
}

// Phase 2 where they cannot. A column with a reduced cost in phase 1 stands at its bound in every
// solution of phase 1, so it is left there. Proof: the residual by the duals of phase 1, the
// objective by those of the program with the residual bounded, whose price is `penalty`.
template <typename Lanes>
GAUFUSE_HD_CALLED bool solve_relaxed(const Lanes& lanes, LinproProgram& program) {
  LinproComponent& component = program.component;
  BoundedSimplex& simplex = program.simplex;
  const int count = component.count;
  const int columns = simplex.columns;
  read_duals(lanes, program);
  for (int j = lanes.rank(); j < columns; j += lanes.size)
    program.least_reduced[j] = simplex.reduced[j];
  for (int r = lanes.rank(); r < program.rows; r += lanes.size) {
    program.least_duals[r] = program.duals[r];
    // The amounts of pairs cost nothing here.
    const double most = r < count ? component.miss_weight(r) : 0.0;
    program.duals[r] = clip(program.duals[r], -most, most);
  }
  lanes.sync();
  const double least_residual = bound_of_duals(lanes, program);

  start_phase_two(lanes, program);
  for (int j = lanes.rank(); j < columns; j += lanes.size)
    if (!(simplex.state[j] & kBasic) && fabs(program.least_reduced[j]) > kLockFrom)
      simplex.state[j] |= kLocked;
  lanes.sync();
  if (!minimise_costs(lanes, program)) return false;
  read_scores(lanes, program);
  if (!prove(program, component.target_residual, least_residual)) return false;
  const double residual_gap = program.gap;

  const double penalty = largest_of(lanes, columns, [&](int j) {
    return simplex.state[j] & kLocked ? -simplex.reduced[j] / program.least_reduced[j] : 0.0;
  });
  read_duals(lanes, program);
  for (int r = lanes.rank(); r < program.rows; r += lanes.size)
    program.duals[r] += penalty * program.least_duals[r];
  lanes.sync();
  clip_duals(lanes, program, [&](int i) { return penalty * component.miss_weight(i); });
  const double bound =
      program.constant + bound_of_duals(lanes, program) - penalty * component.target_residual;
  const bool proved = prove(program, component.target_objective, bound);
  if (residual_gap > program.gap) program.gap = residual_gap;
  return proved;
}

// Two phases: the least residual, then the least cost at it.
template <typename Lanes>
GAUFUSE_HD_CALLED bool solve_hard(const Lanes& lanes, LinproProgram& program) {
  LinproComponent& component = program.component;
  for (int j = lanes.rank(); j < program.pieces; j += lanes.size) {
    program.piece_costs[j] = program.cost[j];
    program.cost[j] = 0.0;
  }
  price_confidences(lanes, program, 1.0, false);
  if (!minimise_costs(lanes, program)) return false;
  read_scores(lanes, program);
  const double size = 1.0 + lanes.template sum<double>(
                                component.count, [&](int i) { return fabs(component.targets[i]); });
  component.relaxed = component.worst_miss > kLinproGap * size;
  return component.relaxed ? solve_relaxed(lanes, program) : solve_met(lanes, program, size);
}

// What came of a component.
struct LinproSolution {
  bool proved;  // false: too large for the arena, or not proved optimal
  int pivots;
  double gap;
};

// Solves a component whose instances, count and terms are set; the rest of it lies in the arena.
template <typename Lanes>
GAUFUSE_HD_CALLED LinproSolution solve_component(const Lanes& lanes, LinproComponent& component,
                                                 Arena& arena) {
  component.relaxed = false;
  scale_component(lanes, component);
  if (!cut_component(lanes, component, arena)) return LinproSolution{false, 0, 0.0};
  find_targets(lanes, component);
  const bool no_ring = component.count == 1 && component.instances[0].ring_size() == 0.0;
  if (component.count == 1 && (component.terms.all_instances || no_ring)) {
    solve_alone(lanes, component);
    return LinproSolution{true, 0, 0.0};
  }
  LinproProgram program{component};
  if (!build_program(lanes, program, arena)) return LinproSolution{false, 0, 0.0};
  start_simplex(lanes, program);
  const bool proved =
      component.terms.hard ? solve_hard(lanes, program) : solve_elastic(lanes, program);
  return LinproSolution{proved, program.simplex.pivots, program.gap};
}

// Bytes of the largest layout that a component of `count` instances can need.
GAUFUSE_HD int64_t most_component_bytes(int64_t count, Membership rows_of, bool with_variation) {
  const int64_t cuts = 2 * ranges_of(rows_of) * count;
  const int64_t cells = cuts;
  const int64_t rows = count + (with_variation ? cells : 0);
  // Every cell has two pieces, and one more for each instance that covers it.
  const int64_t columns = cells * (2 + count) + 2 * rows;
  const int64_t doubles =
      2 * cuts + cells * (count + 7) + 2 * count + rows * (columns + 6) + 7 * columns;
  return 8 * (doubles + 32);  // each of up to 32 arrays may end with half a double
}

}  // namespace gaufuse
