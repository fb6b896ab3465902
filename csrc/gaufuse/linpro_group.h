// A group's instances and the sum over its components. Shared by the CPU and CUDA, which find the
// components and lend the memory.
#pragma once

#include <cstdint>

#include "gaufuse/groups.h"
#include "gaufuse/linpro_program.h"
#include "gaufuse/segment_overlap.h"

namespace gaufuse {

GAUFUSE_HD LinproInstance make_instance(const MembershipRow& row, double confidence, double weight,
                                        int64_t number, int64_t num_snippets) {
  LinproInstance instance{row, confidence, weight, num_snippets, 0, number};
  const auto reach = [&](SnippetRange range) {
    if (range.size() == 0) return;
    if (range.start < instance.begin) instance.begin = range.start;
    if (range.stop > instance.end) instance.end = range.stop;
  };
  reach(row.inside);
  reach(row.ring.left);
  reach(row.ring.right);
  return instance;
}

// Rows are not zero on one stretch of snippets each, so components are runs of instances, by begin
// and then by number, whose stretches overlap. They are added in the order of time.
template <typename T, typename Lanes>
struct LinproGroup {
  const LinproLabelsParams<T>& params;
  int64_t group;
  Lanes lanes;
  double objective = 0.0;
  double residual = 0.0;
  double gap = 0.0;
  int64_t pivots = 0;
  bool covered = false;
  bool relaxed = false;
  bool unsolved = false;

  GAUFUSE_HD int64_t num_snippets() const {
    return valid_count(params.lengths, group, params.num_snippets);
  }
  // None can do anything where there are no snippets.
  GAUFUSE_HD int64_t count() const {
    return num_snippets() > 0 ? valid_count(params.counts, group, params.capacity) : 0;
  }

  // Checked on the CPU; on CUDA nobody has. x - x is zero for finite x only.
  GAUFUSE_HD bool is_finite(int64_t i) const {
    const int64_t at = group * params.capacity + i;
    const Segment segment = load_segment(params.segments, at);
    const double sum =
        weight(i) + static_cast<double>(params.scores[at]) + segment.start + segment.end;
    return sum - sum == 0.0;
  }

  GAUFUSE_HD double weight(int64_t i) const {
    const int64_t at = group * params.capacity + i;
    return params.weights == nullptr ? 1.0 : static_cast<double>(params.weights[at]);
  }

  GAUFUSE_HD LinproInstance load(int64_t i) const {
    const int64_t at = group * params.capacity + i;
    const Segment segment = load_segment(params.segments, at);
    const MembershipRow row =
        make_membership_row(segment.start, segment.end, num_snippets(), params.margin,
                            params.margin_power, params.terms.rows);
    return make_instance(row, static_cast<double>(params.scores[at]), weight(i), i, num_snippets());
  }

  GAUFUSE_HD bool takes_part(const LinproInstance& instance) const {
    if (!(instance.weight > 0.0)) return false;
    return params.terms.all_instances ? instance.end > 0 : instance.row.inside.size() > 0;
  }

  // Its confidence counts, and there is no snippet to carry it.
  GAUFUSE_HD bool is_missed(const LinproInstance& instance) const {
    return instance.weight > 0.0 && params.terms.all_instances && !(instance.end > 0);
  }

  GAUFUSE_HD void miss(double confidence) {
    residual += fabs(confidence);
    relaxed |= fabs(confidence) > kLinproGap;
  }

  // Zero, or how many bytes the arena would have to have: then it must be added once more.
  GAUFUSE_HD int64_t add_component(const LinproInstance* members, int64_t size, Arena arena) {
    LinproComponent component{};
    component.instances = members;
    component.count = static_cast<int>(size);
    component.terms = params.terms;
    LinproSolution solution{false, 0, 0.0};
    if (size <= kMostLinproInstances) {
      solution = solve_component(lanes, component, arena);
      if (arena.used > arena.size) return arena.used;
    }
    add_solution(component, solution);
    return 0;
  }

  GAUFUSE_HD void add_solution(const LinproComponent& component, const LinproSolution& solution) {
    if (!solution.proved) {
      unsolved = true;
      return;
    }
    for (int c = 0; c < component.cells; ++c)
      fill(component.cuts[c], component.cuts[c + 1], component.scores[c]);
    objective += scalbn(component.objective, component.unit_exponent);
    residual += component.residual;
    relaxed |= component.relaxed;
    if (solution.gap > gap) gap = solution.gap;
    pivots += solution.pivots;
    for (int i = 0; i < component.count; ++i)
      covered |= component.instances[i].row.inside.size() > 0;
    lanes.sync();
  }

  GAUFUSE_HD void fill(int64_t begin, int64_t end, double score) {
    T* labels = params.labels + group * params.num_snippets;
    for (int64_t t = begin + lanes.rank(); t < end; t += lanes.size)
      labels[t] = static_cast<T>(score);
  }

  GAUFUSE_HD void write() {
    if (unsolved) fill(0, params.num_snippets, 0.0);
    if (lanes.rank() != 0) return;
    params.objective(group) = objective;
    params.residual(group) = residual;
    params.gap(group) = gap;
    params.pivots(group) = pivots;
    params.status(group) = static_cast<int64_t>(unsolved  ? LinproStatus::unsolved
                                                : relaxed ? LinproStatus::relaxed
                                                : covered ? LinproStatus::optimal
                                                          : LinproStatus::empty);
  }
};

}  // namespace gaufuse
