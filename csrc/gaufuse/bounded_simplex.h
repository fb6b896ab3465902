// Primal simplex with bounded variables on a dense tableau, in double: exact solver of the small
// linear programs that LinPro's components are. The caller brings all memory; nothing here
// allocates, so the same code serves a thread of the CPU and a warp, whose lanes share the columns.
#pragma once

#include <cmath>
#include <cstdint>

#include "gaufuse/host_device.h"

namespace gaufuse {

// Of a variable; none of them: it is nonbasic and stands at zero.
constexpr int kBasic = 1;
constexpr int kAtUpper = 2;  // nonbasic, at its upper bound
constexpr int kLocked = 4;   // nonbasic, must stay where it stands

// min cost @ v  s.t.  matrix @ v = rhs, 0 <= v <= upper, given in tableau form: the columns named
// by `basis` are unit vectors, and their values, `values`, lie within bounds.
struct BoundedSimplex {
  int rows;
  int columns;
  double* tableau;  // (rows, columns) basis^-1 times matrix
  double* values;   // (rows,) of the basic variables
  double* reduced;  // (columns,) reduced costs
  double* upper;    // (columns,) may be infinite
  double* column;   // (rows,) scratch: the entering variable's
  int* basis;       // (rows,) the basic variable of each row
  int* state;       // (columns,) bits
  int pivots;       // so far
};

constexpr double kPivotTolerance = 1e-9;     // of a tableau entry to pivot on
constexpr double kReducedTolerance = 1e-11;  // of a reduced cost that is worth an iteration

// Reduced costs of the basis at hand for the given cost of each column.
template <typename Lanes>
GAUFUSE_HD_CALLED void price(const Lanes& lanes, BoundedSimplex& program, const double* cost) {
  const int columns = program.columns;
  double* reduced = program.reduced;
  for (int j = lanes.rank(); j < columns; j += lanes.size) reduced[j] = cost[j];
  for (int i = 0; i < program.rows; ++i) {
    const double own = cost[program.basis[i]];
    if (own == 0.0) continue;
    const double* row = program.tableau + static_cast<int64_t>(i) * columns;
    for (int j = lanes.rank(); j < columns; j += lanes.size) reduced[j] -= own * row[j];
  }
  lanes.sync();
}

struct Entering {
  double gain;
  int variable;  // -1: none
};

struct BetterEntering {
  bool first;  // the lower variable, whatever its gain

  GAUFUSE_HD Entering operator()(const Entering& a, const Entering& b) const {
    if (a.variable < 0 || b.variable < 0) return a.variable < 0 ? b : a;
    if (first || a.gain == b.gain) return a.variable < b.variable ? a : b;
    return a.gain > b.gain ? a : b;
  }
};

// The most promising nonbasic variable (ties: the lower), or with `first` the first that promises
// anything (which cannot cycle); -1 at the optimum.
template <typename Lanes>
GAUFUSE_HD int find_entering(const Lanes& lanes, const BoundedSimplex& program, bool first) {
  const int columns = program.columns;
  Entering mine{kReducedTolerance, -1};
  for (int j = lanes.rank(); j < columns; j += lanes.size) {
    const int state = program.state[j];
    const double gain = state & kAtUpper ? program.reduced[j] : -program.reduced[j];
    if (state & (kBasic | kLocked) || !(gain > mine.gain) || !(program.upper[j] > 0.0)) continue;
    mine = Entering{gain, j};
    if (first) break;
  }
  return lanes.reduce(mine, BetterEntering{first}).variable;
}

struct Step {
  double length;    // of the entering variable's way
  double priority;  // among rows that stop it at the same length
  int row;          // whose variable leaves; -1: the entering one crosses to its other bound
};

struct ShorterStep {
  GAUFUSE_HD Step operator()(const Step& a, const Step& b) const {
    if (a.length != b.length) return b.length < a.length ? b : a;
    if (a.row < 0 || b.row < 0) return a.row < 0 ? a : b;
    if (a.priority != b.priority) return b.priority > a.priority ? b : a;
    return a.row < b.row ? a : b;
  }
};

// Rows are looked at by the lanes that put them into `column`. Ties: the larger pivot; with
// `first`, the lower variable.
template <typename Lanes>
GAUFUSE_HD Step find_leaving(const Lanes& lanes, const BoundedSimplex& program, double most,
                             double direction, bool first) {
  Step mine{most, 0.0, -1};
  for (int i = lanes.rank(); i < program.rows; i += lanes.size) {
    const double pivot = program.column[i];
    const double rate = -direction * pivot;  // of the basic variable's change
    if (!(fabs(rate) > kPivotTolerance)) continue;
    const int variable = program.basis[i];
    const double room =
        rate < 0.0 ? program.values[i] : program.upper[variable] - program.values[i];
    const double limit = (room > 0.0 ? room : 0.0) / fabs(rate);
    const double priority = first ? -static_cast<double>(variable) : fabs(pivot);
    mine = ShorterStep()(mine, Step{limit, priority, i});
  }
  return lanes.reduce(mine, ShorterStep());
}

// A lane touches its own columns only.
template <typename Lanes>
GAUFUSE_HD void eliminate(const Lanes& lanes, BoundedSimplex& program, int row, int entering,
                          double reduced_cost) {
  const int columns = program.columns;
  const double* column = program.column;
  double* own = program.tableau + static_cast<int64_t>(row) * columns;
  const double scale = 1.0 / column[row];
  for (int j = lanes.rank(); j < columns; j += lanes.size) own[j] *= scale;
  if (lanes.rank() == entering % lanes.size) own[entering] = 1.0;
  for (int i = 0; i <= program.rows; ++i) {  // the last one is the row of reduced costs
    const bool last = i == program.rows;
    const double factor = last ? reduced_cost : column[i];
    if (i == row || factor == 0.0) continue;
    double* other = last ? program.reduced : program.tableau + static_cast<int64_t>(i) * columns;
    for (int j = lanes.rank(); j < columns; j += lanes.size) other[j] -= factor * own[j];
  }
}

// Minimises from the basis at hand, for the reduced costs that are there. False where it gives up:
// after too many pivots, or (which bounded programs cannot be) unbounded.
template <typename Lanes>
GAUFUSE_HD_CALLED bool minimise(const Lanes& lanes, BoundedSimplex& simplex) {
  BoundedSimplex program = simplex;  // in registers
  const int rows = program.rows;
  const int most_pivots = 100 * (rows + 10);
  int idle = 0;  // pivots in a row that moved nothing
  for (int pivots = 0; pivots < most_pivots; ++pivots) {
    const bool careful = idle > 2 * rows + 10;
    const int entering = find_entering(lanes, program, careful);
    if (entering < 0) return true;
    const bool down = (program.state[entering] & kAtUpper) != 0;
    const double direction = down ? -1.0 : 1.0;
    const double reduced_cost = program.reduced[entering];
    const double most = program.upper[entering];
    for (int i = lanes.rank(); i < rows; i += lanes.size)
      program.column[i] = program.tableau[static_cast<int64_t>(i) * program.columns + entering];
    const Step step = find_leaving(lanes, program, most, direction, careful);
    if (!(step.length < INFINITY)) return false;
    lanes.sync();  // all have read what is written from here on
    ++simplex.pivots;
    idle = step.length > 0.0 ? 0 : idle + 1;
    for (int i = lanes.rank(); i < rows; i += lanes.size)
      program.values[i] = i == step.row
                              ? (down ? most - step.length : step.length)
                              : program.values[i] - direction * step.length * program.column[i];
    if (step.row < 0) {
      if (lanes.rank() == 0) program.state[entering] = down ? 0 : kAtUpper;
    } else {
      if (lanes.rank() == 0) {
        const bool to_upper = -direction * program.column[step.row] > 0.0;
        program.state[program.basis[step.row]] = to_upper ? kAtUpper : 0;
        program.state[entering] = kBasic;
        program.basis[step.row] = entering;
      }
      eliminate(lanes, program, step.row, entering, reduced_cost);
    }
    lanes.sync();
  }
  return false;
}

}  // namespace gaufuse
