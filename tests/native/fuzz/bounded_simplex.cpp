// bounded_simplex alone: any bounded program, its solution feasible for the matrix as it was, and
// proved by duals that are worked out from that matrix.
#include "gaufuse/bounded_simplex.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "fuzz/harness.h"
#include "gaufuse/one_lane.h"

namespace gaufuse {
namespace {

struct Matrix {
  int rows;
  int columns;
  std::vector<double> entries;

  double at(int row, int column) const { return entries[row * columns + column]; }
};

struct Program {
  Matrix matrix;  // (rows, pieces + rows): the last columns are the slacks, unit vectors
  std::vector<double> right;
  std::vector<double> upper;
  std::vector<double> cost;
};

Program draw_program(Bytes& bytes) {
  Program program;
  const int rows = static_cast<int>(bytes.upto(6));
  const int pieces = static_cast<int>(bytes.upto(10));
  program.matrix = Matrix{rows, pieces + rows, {}};
  program.matrix.entries.assign(rows * (pieces + rows), 0.0);
  program.right.resize(rows);
  const bool whole = bytes.one_in(2);  // ties and degenerate corners
  for (int i = 0; i < rows; ++i) {
    program.right[i] = whole ? static_cast<double>(bytes.upto(4)) : 4.0 * bytes.fraction();
    for (int j = 0; j < pieces; ++j)
      program.matrix.entries[i * program.matrix.columns + j] =
          whole ? static_cast<double>(bytes.upto(4)) - 2.0 : 4.0 * bytes.fraction() - 2.0;
    program.matrix.entries[i * program.matrix.columns + pieces + i] = 1.0;
  }
  for (int j = 0; j < pieces + rows; ++j) {
    const bool slack = j >= pieces;
    program.upper.push_back(slack ? INFINITY : bytes.one_in(8) ? 0.0 : 4.0 * bytes.fraction());
    program.cost.push_back(slack ? 4.0 * bytes.fraction() : 4.0 * bytes.fraction() - 2.0);
  }
  return program;
}

void check_solution(const Program& program, const BoundedSimplex& simplex) {
  const Matrix& matrix = program.matrix;
  const int pieces = matrix.columns - matrix.rows;
  std::vector<double> x(matrix.columns, 0.0);
  for (int j = 0; j < matrix.columns; ++j)
    if (simplex.state[j] & kAtUpper) x[j] = program.upper[j];
  for (int i = 0; i < matrix.rows; ++i) {
    CHECK(simplex.state[simplex.basis[i]] == kBasic);
    x[simplex.basis[i]] = simplex.values[i];
  }
  double value = 0.0;
  for (int j = 0; j < matrix.columns; ++j) {
    CHECK(x[j] >= -1e-7 && x[j] <= program.upper[j] + 1e-7);
    value += program.cost[j] * x[j];
  }
  double bound = 0.0;
  std::vector<double> duals(matrix.rows);
  for (int i = 0; i < matrix.rows; ++i) {
    double sum = 0.0;
    for (int j = 0; j < matrix.columns; ++j) sum += matrix.at(i, j) * x[j];
    CHECK_NEAR(sum, program.right[i], 1e-6);
    const int slack = pieces + i;
    duals[i] = std::min(program.cost[slack] - simplex.reduced[slack], program.cost[slack]);
    bound += duals[i] * program.right[i];
  }
  for (int j = 0; j < pieces; ++j) {
    double reduced = program.cost[j];
    for (int i = 0; i < matrix.rows; ++i) reduced -= duals[i] * matrix.at(i, j);
    bound += std::min(reduced, 0.0) * program.upper[j];
  }
  CHECK_NEAR(value, bound, 1e-6 * (1.0 + std::fabs(value)));
}

template <typename T>
void run(Bytes& bytes) {
  Program program = draw_program(bytes);
  const int rows = program.matrix.rows;
  const int columns = program.matrix.columns;
  std::vector<double> tableau = program.matrix.entries;
  std::vector<double> values = program.right;
  std::vector<double> reduced(columns);
  std::vector<double> column(rows);
  std::vector<int> basis(rows);
  std::vector<int> state(columns, 0);
  for (int i = 0; i < rows; ++i) {
    basis[i] = columns - rows + i;
    state[basis[i]] = kBasic;
  }
  BoundedSimplex simplex{rows,           columns,
                         tableau.data(), values.data(),
                         reduced.data(), program.upper.data(),
                         column.data(),  basis.data(),
                         state.data(),   0};
  price(OneLane(), simplex, program.cost.data());
  // Slacks cost at least nothing and pieces are bounded: there is an optimum.
  CHECK(minimise(OneLane(), simplex));
  check_solution(program, simplex);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(bounded_simplex)
