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

struct LinproBreak {  // of a cell's piecewise linear cost
  double at;
  double price;
  int64_t number;
};

// All arrays are the arena's.
struct LinproProgram {
  LinproComponent& component;
  BoundedSimplex simplex = {};
  int pieces = 0;
  int rows = 0;
  int* cell_of = nullptr;           // (pieces,)
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
GAUFUSE_HD_CALLED bool add_pairs(LinproProgram& program, Arena& arena) {
  const LinproComponent& component = program.component;
  program.rows = component.count;
  if (!(component.terms.variation > 0.0)) return true;
  program.pairs = arena.take<LinproPair>(component.cells);
  if (program.pairs == nullptr) return false;
  for (int c = 0; c + 1 < component.cells; ++c) {
    double weight = 0.0;
    for (int i = 0; i < component.count; ++i)
      if (component.covers(i, c) && component.covers(i, c + 1)) weight += component.weight(i);
    if (weight > 0.0)
      program.pairs[program.rows++ - component.count] =
          LinproPair{c, component.terms.variation * weight};
  }
  return true;
}

// At most so many pieces: one more in a cell than its cost has breaks.
GAUFUSE_HD int count_pieces(const LinproComponent& component) {
  int pieces = 0;
  for (int c = 0; c < component.cells; ++c) {
    pieces += 2;
    for (int i = 0; i < component.count; ++i) pieces += component.covers(i, c);
  }
  return pieces;
}

// What a cell pays in its own x, sum_i b n |x - q_i| + c n |x - m| + g n x, is convex and piecewise
// linear: a column for every piece, bounded by its width and priced at its slope.
GAUFUSE_HD_CALLED void add_pieces(LinproProgram& program, double* upper, LinproBreak* breaks) {
  const LinproComponent& component = program.component;
  int pieces = 0;
  const auto add = [&](int cell, double width, double slope) {
    program.cell_of[pieces] = cell;
    upper[pieces] = width;
    program.cost[pieces++] = slope;
  };
  for (int c = 0; c < component.cells; ++c) {
    const double size = component.sizes[c];
    int count = 0;
    for (int i = 0; i < component.count; ++i)
      if (component.covers(i, c))
        breaks[count++] =
            LinproBreak{component.targets[i], component.uniformity_price(i) * size, i};
    if (count > 0 && component.terms.anchor > 0.0)
      breaks[count++] =
          LinproBreak{component.anchor_target(c), component.terms.anchor * size, component.count};
    heap_sort(breaks, count, [](const LinproBreak& a, const LinproBreak& b) {
      return a.at < b.at || (a.at == b.at && a.number < b.number);
    });
    double slope = component.terms.sparsity * size;
    for (int k = 0; k < count; ++k) {
      slope -= breaks[k].price;
      program.constant += breaks[k].price * fabs(breaks[k].at);
    }
    double from = 0.0;
    for (int k = 0; k < count; ++k) {
      const double to = clip(breaks[k].at, 0.0, 1.0);
      if (breaks[k].price > 0.0 && to > from) {
        add(c, to - from, slope);
        from = to;
      }
      slope += 2.0 * breaks[k].price;
    }
    if (from < 1.0) add(c, 1.0 - from, slope);
  }
  program.pieces = pieces;
}

GAUFUSE_HD void price_confidences(LinproProgram& program, double factor, bool at_prices) {
  const LinproComponent& component = program.component;
  for (int i = 0; i < component.count; ++i)
    program.cost[program.below(i)] = program.cost[program.above(i)] =
        factor * (at_prices ? component.confidence_price(i) : component.miss_weight(i));
}

GAUFUSE_HD void price_pairs(LinproProgram& program) {
  const int count = program.component.count;
  for (int r = count; r < program.rows; ++r)
    program.cost[program.below(r)] = program.cost[program.above(r)] =
        program.pairs[r - count].price;
}

// The basis of amounts: row i holds M_i x + below_i - above_i = q_i, with its sign turned where q_i
// is negative.
GAUFUSE_HD_CALLED void start_simplex(LinproProgram& program) {
  BoundedSimplex& simplex = program.simplex;
  const int columns = simplex.columns;
  for (int j = 0; j < columns; ++j) simplex.basic[j] = simplex.at_upper[j] = simplex.locked[j] = 0;
  for (int r = 0; r < program.rows; ++r) {
    const double right = r < program.component.count ? program.component.targets[r] : 0.0;
    const double sign = right < 0.0 ? -1.0 : 1.0;
    double* row = simplex.tableau + static_cast<int64_t>(r) * columns;
    for (int j = 0; j < program.pieces; ++j) row[j] = sign * program.row_entry(r, j);
    for (int j = program.pieces; j < columns; ++j) row[j] = 0.0;
    row[program.below(r)] = sign;
    row[program.above(r)] = -sign;
    simplex.basis[r] = sign > 0.0 ? program.below(r) : program.above(r);
    simplex.basic[simplex.basis[r]] = 1;
    simplex.values[r] = sign * right;
  }
  simplex.pivots = 0;
}

// Lays the program out in the arena. False: it does not fit.
GAUFUSE_HD_CALLED bool build_program(LinproProgram& program, Arena& arena) {
  const LinproComponent& component = program.component;
  if (!add_pairs(program, arena)) return false;
  const int rows = program.rows;
  const int most_pieces = count_pieces(component);
  const int most_columns = most_pieces + 2 * rows;
  BoundedSimplex& simplex = program.simplex;
  program.cell_of = arena.take<int>(most_pieces);
  program.cost = arena.take<double>(most_columns);
  simplex.upper = arena.take<double>(most_columns);
  LinproBreak* breaks = arena.take<LinproBreak>(component.count + 1);
  if (breaks == nullptr) return false;
  add_pieces(program, simplex.upper, breaks);
  const int columns = program.pieces + 2 * rows;
  simplex.rows = rows;
  simplex.columns = columns;
  for (int j = program.pieces; j < columns; ++j) {
    simplex.upper[j] = INFINITY;
    program.cost[j] = 0.0;
  }
  simplex.tableau = arena.take<double>(static_cast<int64_t>(rows) * columns);
  simplex.values = arena.take<double>(rows);
  simplex.reduced = arena.take<double>(columns);
  simplex.basis = arena.take<int>(rows);
  simplex.basic = arena.take<uint8_t>(columns);
  simplex.at_upper = arena.take<uint8_t>(columns);
  simplex.locked = arena.take<uint8_t>(columns);
  program.duals = arena.take<double>(rows);
  program.piece_costs = arena.take<double>(program.pieces);
  program.least_reduced = arena.take<double>(columns);
  program.least_duals = arena.take<double>(rows);
  return program.least_duals != nullptr;
}

GAUFUSE_HD bool minimise_costs(LinproProgram& program) {
  price(program.simplex, program.cost);
  return minimise(program.simplex);
}

GAUFUSE_HD_CALLED void read_scores(LinproProgram& program) {
  LinproComponent& component = program.component;
  const BoundedSimplex& simplex = program.simplex;
  for (int c = 0; c < component.cells; ++c) component.scores[c] = 0.0;
  for (int j = 0; j < program.pieces; ++j)
    if (!simplex.basic[j] && simplex.at_upper[j])
      component.scores[program.cell_of[j]] += simplex.upper[j];
  for (int r = 0; r < program.rows; ++r)
    if (simplex.basis[r] < program.pieces)
      component.scores[program.cell_of[simplex.basis[r]]] += simplex.values[r];
  for (int c = 0; c < component.cells; ++c)
    component.scores[c] = clip(component.scores[c], 0.0, 1.0);
  evaluate_component(component);
}

// The column of the amount below a row is a unit vector: its reduced cost tells the row's dual.
GAUFUSE_HD_CALLED void read_duals(LinproProgram& program) {
  const int count = program.component.count;
  for (int r = 0; r < program.rows; ++r) {
    const int j = program.below(r);
    program.duals[r] = program.cost[j] - program.simplex.reduced[j];
    if (r < count) continue;
    const double most = program.pairs[r - count].price;
    program.duals[r] = clip(program.duals[r], -most, most);
  }
}

// Any y bounds sum_j cost_j v_j over the pieces v, subject to the rows, from below:
//   sum_i y_i q_i + sum_j upper_j min(0, cost_j - sum_r y_r row_rj),
// as long as no amount would gain by growing, which the caller sees to.
GAUFUSE_HD_CALLED double bound_of_duals(const LinproProgram& program) {
  double bound = 0.0;
  for (int i = 0; i < program.component.count; ++i)
    bound += program.duals[i] * program.component.targets[i];
  for (int j = 0; j < program.pieces; ++j) {
    double reduced = program.cost[j];
    for (int r = 0; r < program.rows; ++r) reduced -= program.duals[r] * program.row_entry(r, j);
    if (reduced < 0.0) bound += reduced * program.simplex.upper[j];
  }
  return bound;
}

GAUFUSE_HD bool prove(LinproProgram& program, double value, double bound) {
  const double size = fabs(value) > 1.0 ? fabs(value) : 1.0;
  program.gap = fabs(value - bound) / size;
  return program.gap <= kLinproGap;  // false for NaN, too
}

GAUFUSE_HD_CALLED bool solve_elastic(LinproProgram& program) {
  LinproComponent& component = program.component;
  price_confidences(program, 1.0, true);
  price_pairs(program);
  if (!minimise_costs(program)) return false;
  read_scores(program);
  read_duals(program);
  for (int i = 0; i < component.count; ++i) {
    const double most = component.confidence_price(i);
    program.duals[i] = clip(program.duals[i], -most, most);
  }
  return prove(program, component.target_objective, program.constant + bound_of_duals(program));
}

GAUFUSE_HD void start_phase_two(LinproProgram& program) {
  for (int j = 0; j < program.pieces; ++j) program.cost[j] = program.piece_costs[j];
  price_confidences(program, 0.0, false);
  price_pairs(program);
}

// Phase 2 where the constraints can be met: no amount may come back.
GAUFUSE_HD_CALLED bool solve_met(LinproProgram& program, double size) {
  LinproComponent& component = program.component;
  start_phase_two(program);
  for (int i = 0; i < component.count; ++i)
    program.simplex.upper[program.below(i)] = program.simplex.upper[program.above(i)] = 0.0;
  if (!minimise_costs(program)) return false;
  read_scores(program);
  if (component.worst_miss > kLinproGap * size) return false;
  read_duals(program);
  return prove(program, component.target_objective, program.constant + bound_of_duals(program));
}

// Phase 2 where they cannot. A column with a reduced cost in phase 1 stands at its bound in every
// solution of phase 1, so it is left there. Proof: the residual by the duals of phase 1, the
// objective by those of the program with the residual bounded, whose price is `penalty`.
GAUFUSE_HD_CALLED bool solve_relaxed(LinproProgram& program) {
  LinproComponent& component = program.component;
  BoundedSimplex& simplex = program.simplex;
  const int count = component.count;
  read_duals(program);
  for (int j = 0; j < simplex.columns; ++j) program.least_reduced[j] = simplex.reduced[j];
  for (int r = 0; r < program.rows; ++r) {
    program.least_duals[r] = program.duals[r];
    // The amounts of pairs cost nothing here.
    const double most = r < count ? component.miss_weight(r) : 0.0;
    program.duals[r] = clip(program.duals[r], -most, most);
  }
  const double least_residual = bound_of_duals(program);

  start_phase_two(program);
  for (int j = 0; j < simplex.columns; ++j)
    simplex.locked[j] = !simplex.basic[j] && fabs(program.least_reduced[j]) > kLockFrom;
  if (!minimise_costs(program)) return false;
  read_scores(program);
  if (!prove(program, component.target_residual, least_residual)) return false;
  const double residual_gap = program.gap;

  double penalty = 0.0;
  for (int j = 0; j < simplex.columns; ++j) {
    const double needed = simplex.locked[j] ? -simplex.reduced[j] / program.least_reduced[j] : 0.0;
    if (needed > penalty) penalty = needed;
  }
  read_duals(program);
  for (int r = 0; r < program.rows; ++r) {
    program.duals[r] += penalty * program.least_duals[r];
    if (r >= count) continue;
    const double most = penalty * component.miss_weight(r);
    program.duals[r] = clip(program.duals[r], -most, most);
  }
  const double bound =
      program.constant + bound_of_duals(program) - penalty * component.target_residual;
  const bool proved = prove(program, component.target_objective, bound);
  if (residual_gap > program.gap) program.gap = residual_gap;
  return proved;
}

// Two phases: the least residual, then the least cost at it.
GAUFUSE_HD_CALLED bool solve_hard(LinproProgram& program) {
  LinproComponent& component = program.component;
  for (int j = 0; j < program.pieces; ++j) {
    program.piece_costs[j] = program.cost[j];
    program.cost[j] = 0.0;
  }
  price_confidences(program, 1.0, false);
  if (!minimise_costs(program)) return false;
  read_scores(program);
  double size = 1.0;
  for (int i = 0; i < component.count; ++i) size += fabs(component.targets[i]);
  component.relaxed = component.worst_miss > kLinproGap * size;
  return component.relaxed ? solve_relaxed(program) : solve_met(program, size);
}

// What came of a component.
struct LinproSolution {
  bool proved;  // false: too large for the arena, or not proved optimal
  int pivots;
  double gap;
};

// Solves a component whose instances, count and terms are set; the rest of it lies in the arena.
GAUFUSE_HD_CALLED LinproSolution solve_component(LinproComponent& component, Arena& arena) {
  component.relaxed = false;
  scale_component(component);
  if (!cut_component(component, arena)) return LinproSolution{false, 0, 0.0};
  find_targets(component);
  const bool no_ring = component.count == 1 && component.instances[0].ring_size() == 0.0;
  if (component.count == 1 && (component.terms.all_instances || no_ring)) {
    solve_alone(component);
    return LinproSolution{true, 0, 0.0};
  }
  LinproProgram program{component};
  if (!build_program(program, arena)) return LinproSolution{false, 0, 0.0};
  start_simplex(program);
  const bool proved = component.terms.hard ? solve_hard(program) : solve_elastic(program);
  return LinproSolution{proved, program.simplex.pivots, program.gap};
}

}  // namespace gaufuse
