// The compiler of LinPro's programs: in an arena of any size it stays inside, and says how large
// one it needs; there it does not matter how much larger the arena is.
#include "gaufuse/linpro_program.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "fuzz/harness.h"
#include "fuzz/linpro_cases.h"

namespace gaufuse {
namespace {

// What is left of a solution when its arena is gone.
struct Result {
  LinproSolution solution;
  double objective;
  std::vector<double> scores;
  int64_t used;
};

Result solve(const Case& drawn, int64_t arena_bytes) {
  char* memory = static_cast<char*>(std::malloc(static_cast<size_t>(arena_bytes)));
  Arena arena{memory, arena_bytes, 0};
  LinproComponent component = component_of(drawn);
  Result result{solve_component(OneLane(), component, arena), component.objective, {}, arena.used};
  if (arena.used <= arena_bytes)
    result.scores.assign(component.scores, component.scores + component.cells);
  std::free(memory);
  return result;
}

void check_case(Bytes& bytes, const Case& drawn) {
  const auto count = static_cast<int64_t>(drawn.instances.size());
  const int64_t most = most_component_bytes(count, drawn.terms.rows, drawn.terms.variation > 0.0);
  const Result expected = solve(drawn, most);
  CHECK(expected.used <= most);
  for (double score : expected.scores)
    CHECK(!expected.solution.proved || (score >= 0.0 && score <= 1.0));
  // As the CPU does: once more with what it would have needed.
  int64_t size = bytes.upto(60000) % (expected.used + 1) / 8 * 8;
  for (int tries = 0;; ++tries) {
    CHECK(tries < 20);
    const Result found = solve(drawn, size);
    if (found.used <= size) {
      CHECK(found.used == expected.used);
      CHECK(found.solution.proved == expected.solution.proved);
      CHECK(!found.solution.proved || found.scores == expected.scores);
      return;
    }
    CHECK(!found.solution.proved);
    size = found.used;
  }
}

template <typename T>
void run(Bytes& bytes) {
  const Case drawn = draw_case(bytes);
  if (!drawn.instances.empty()) check_case(bytes, drawn);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(linpro_program)
