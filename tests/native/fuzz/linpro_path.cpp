// The solver of large components, on small ones, where the bounded simplex says what is right; in
// arenas of any size, as linpro_program.cpp.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "fuzz/harness.h"
#include "fuzz/linpro_cases.h"
#include "gaufuse/linpro_path_solver.h"

namespace gaufuse {
namespace {

struct Result {
  LinproSolution solution;
  bool relaxed;
  double objective;
  double residual;
  int64_t used;
};

template <typename Solve>
Result solve(const Case& drawn, int64_t arena_bytes, Solve solve) {
  char* memory = static_cast<char*>(std::malloc(static_cast<size_t>(arena_bytes)));
  Arena arena{memory, arena_bytes, 0};
  LinproComponent component = component_of(drawn);
  const LinproSolution solution = solve(component, arena);
  if (arena.used <= arena.size && solution.proved)
    for (int c = 0; c < component.cells; ++c)
      CHECK(component.scores[c] >= 0.0 && component.scores[c] <= 1.0);
  std::free(memory);
  return Result{solution, component.relaxed, component.objective, component.residual, arena.used};
}

// A component: runs of instances by begin that overlap.
void keep_first_component(Case& drawn) {
  std::sort(drawn.instances.begin(), drawn.instances.end(),
            [](const LinproInstance& a, const LinproInstance& b) {
              return a.begin < b.begin || (a.begin == b.begin && a.number < b.number);
            });
  int64_t end = drawn.instances[0].end;
  size_t count = 1;
  for (; count < drawn.instances.size() && drawn.instances[count].begin < end; ++count)
    end = std::max(end, drawn.instances[count].end);
  drawn.instances.resize(count);
}

template <typename T>
void run(Bytes& bytes) {
  const bool tame = !bytes.one_in(3);
  Case drawn = draw_case(bytes);
  drawn.terms.rows = Membership::mean;
  drawn.terms.variation = 0.0;
  drawn.terms.all_instances = false;
  if (tame) {
    drawn.terms.confidence = bytes.fraction();
    drawn.terms.uniformity = bytes.fraction();
    drawn.terms.anchor = bytes.fraction();
    drawn.terms.sparsity = bytes.fraction() / 16.0;
  }
  std::vector<LinproInstance> kept;
  for (LinproInstance& instance : drawn.instances) {
    instance.row = make_membership_row(static_cast<double>(instance.row.inside.start),
                                       static_cast<double>(instance.row.inside.stop),
                                       drawn.num_snippets, 0.5, 0.9, Membership::mean);
    if (tame) instance.confidence = bytes.fraction() * 1.5 - 0.25;
    const LinproInstance own = make_instance(instance.row, instance.confidence, instance.weight,
                                             instance.number, drawn.num_snippets);
    if (own.row.inside.size() > 0) kept.push_back(own);
  }
  drawn.instances = kept;
  if (drawn.instances.empty()) return;
  keep_first_component(drawn);

  int64_t size = 8 * bytes.upto(400);
  Result found{};
  for (int tries = 0;; ++tries) {
    CHECK(tries < 20);
    found = solve(drawn, size, solve_on_path);
    if (found.used <= size) break;
    CHECK(!found.solution.proved);
    size = found.used;
  }
  const auto count = static_cast<int64_t>(drawn.instances.size());
  const Result expected =
      solve(drawn, most_component_bytes(count, Membership::mean, false),
            [](LinproComponent& c, Arena& arena) { return solve_component(OneLane(), c, arena); });
  if (!tame) return;
  if (!found.solution.proved || !expected.solution.proved) return;
  CHECK(found.relaxed == expected.relaxed);
  const double room = 1e-7 * (1.0 + std::fabs(expected.objective));
  // Which of equal residuals a relaxed program gets is decided by weights of misses, in both alike.
  CHECK_NEAR(found.residual, expected.residual,
             1e-6 * (1.0 + expected.residual) + (found.relaxed ? 0.0 : 1e6));
  if (!found.relaxed) CHECK_NEAR(found.objective, expected.objective, room);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(linpro_path)
