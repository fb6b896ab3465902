// Primal simplex with bounded variables on a dense tableau, in double: exact solver of the small
// linear programs that LinPro's components are. The caller brings all memory; nothing here
// allocates, so the same code serves a thread of the CPU and one of a GPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "gaufuse/host_device.h"

namespace gaufuse {

// min cost @ v  s.t.  matrix @ v = rhs, 0 <= v <= upper, given in tableau form: the columns named
// by `basis` are unit vectors, and their values, `values`, lie within bounds.
struct BoundedSimplex {
  int rows;
  int columns;
  double* tableau;    // (rows, columns) basis^-1 times matrix
  double* values;     // (rows,) of the basic variables
  double* reduced;    // (columns,) reduced costs
  double* upper;      // (columns,) may be infinite
  int* basis;         // (rows,) the basic variable of each row
  uint8_t* basic;     // (columns,) is the variable basic?
  uint8_t* at_upper;  // (columns,) a nonbasic variable stands at its upper bound
  uint8_t* locked;    // (columns,) a nonbasic variable that must stay where it stands
  int pivots;         // so far
};

constexpr double kPivotTolerance = 1e-9;     // of a tableau entry to pivot on
constexpr double kReducedTolerance = 1e-11;  // of a reduced cost that is worth an iteration

// Reduced costs of the basis at hand for the given cost of each column.
GAUFUSE_HD_CALLED void price(BoundedSimplex& program, const double* cost) {
  for (int j = 0; j < program.columns; ++j) program.reduced[j] = cost[j];
  for (int i = 0; i < program.rows; ++i) {
    const double own = cost[program.basis[i]];
    if (own == 0.0) continue;
    const double* row = program.tableau + static_cast<int64_t>(i) * program.columns;
    for (int j = 0; j < program.columns; ++j) program.reduced[j] -= own * row[j];
  }
}

// The most promising nonbasic variable, or with `first` the first that promises anything (which
// cannot cycle); -1 at the optimum.
GAUFUSE_HD_CALLED int find_entering(const BoundedSimplex& program, bool first) {
  int entering = -1;
  double best = kReducedTolerance;
  for (int j = 0; j < program.columns; ++j) {
    const double gain = program.at_upper[j] ? program.reduced[j] : -program.reduced[j];
    if (program.basic[j] || program.locked[j] || !(gain > best) || !(program.upper[j] > 0.0))
      continue;
    entering = j;
    if (first) break;
    best = gain;
  }
  return entering;
}

struct Step {
  double length;  // of the entering variable's way
  int row;        // whose variable leaves; -1: the entering one crosses to its other bound
  bool to_upper;  // the leaving variable leaves at its upper bound
};

// Ties: the larger pivot; with `first`, the lower variable.
GAUFUSE_HD_CALLED Step find_leaving(const BoundedSimplex& program, int entering, double direction,
                                    bool first) {
  Step step{program.upper[entering], -1, false};
  double best_pivot = 0.0;
  for (int i = 0; i < program.rows; ++i) {
    const double pivot = program.tableau[static_cast<int64_t>(i) * program.columns + entering];
    const double rate = -direction * pivot;  // of the basic variable's change
    if (!(fabs(rate) > kPivotTolerance)) continue;
    const double room =
        rate < 0.0 ? program.values[i] : program.upper[program.basis[i]] - program.values[i];
    const double limit = (room > 0.0 ? room : 0.0) / fabs(rate);
    const bool tie = limit == step.length && step.row >= 0;
    const bool better =
        tie ? (first ? program.basis[i] < program.basis[step.row] : fabs(pivot) > best_pivot)
            : limit < step.length;
    if (!better) continue;
    step = Step{limit, i, rate > 0.0};
    best_pivot = fabs(pivot);
  }
  return step;
}

GAUFUSE_HD_CALLED void eliminate(BoundedSimplex& program, int row, int entering) {
  const int columns = program.columns;
  double* own = program.tableau + static_cast<int64_t>(row) * columns;
  const double scale = 1.0 / own[entering];
  for (int j = 0; j < columns; ++j) own[j] *= scale;
  own[entering] = 1.0;
  for (int i = 0; i <= program.rows; ++i) {  // the last one is the row of reduced costs
    double* other =
        i < program.rows ? program.tableau + static_cast<int64_t>(i) * columns : program.reduced;
    const double factor = other[entering];
    if (i == row || factor == 0.0) continue;
    for (int j = 0; j < columns; ++j) other[j] -= factor * own[j];
    other[entering] = 0.0;
  }
}

// Minimises from the basis at hand, for the reduced costs that are there. False where it gives up:
// after too many pivots, or (which bounded programs cannot be) unbounded.
GAUFUSE_HD_CALLED bool minimise(BoundedSimplex& program) {
  const int most_pivots = 100 * (program.rows + 10);
  int idle = 0;  // pivots in a row that moved nothing
  for (int pivots = 0; pivots < most_pivots; ++pivots) {
    const bool careful = idle > 2 * program.rows + 10;
    const int entering = find_entering(program, careful);
    if (entering < 0) return true;
    const bool down = program.at_upper[entering] != 0;
    const double direction = down ? -1.0 : 1.0;
    const Step step = find_leaving(program, entering, direction, careful);
    if (!(step.length < INFINITY)) return false;
    ++program.pivots;
    idle = step.length > 0.0 ? 0 : idle + 1;
    for (int i = 0; i < program.rows; ++i)
      program.values[i] -= direction * step.length *
                           program.tableau[static_cast<int64_t>(i) * program.columns + entering];
    if (step.row < 0) {
      program.at_upper[entering] = !down;
      continue;
    }
    const int leaving = program.basis[step.row];
    program.basic[leaving] = 0;
    program.at_upper[leaving] = step.to_upper;
    program.basic[entering] = 1;
    program.at_upper[entering] = 0;
    program.basis[step.row] = entering;
    program.values[step.row] = down ? program.upper[entering] - step.length : step.length;
    eliminate(program, step.row, entering);
  }
  return false;
}

}  // namespace gaufuse
