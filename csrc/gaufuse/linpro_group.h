// The components of one group, one after the other. Shared by the CPU and CUDA.
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

// `lend(needed)` gives an Arena for a component: `needed` is 0 at first, and what the last one
// would have had to hold where it was too small; an empty one gives up.
template <typename T, typename Lend>
struct LinproGroup {
  const LinproLabelsParams<T>& params;
  int64_t group;
  LinproInstance* instances;  // (count,)
  Lend lend;
  double objective = 0.0;
  double residual = 0.0;
  double gap = 0.0;
  int64_t pivots = 0;
  bool covered = false;
  bool relaxed = false;
  bool unsolved = false;

  GAUFUSE_HD T* labels() const { return params.labels + group * params.num_snippets; }

  // Labels must be zero.
  GAUFUSE_HD void run() {
    const int64_t size = load();
    heap_sort(instances, size, [](const LinproInstance& a, const LinproInstance& b) {
      return a.begin < b.begin || (a.begin == b.begin && a.number < b.number);
    });
    // A row is not zero on one stretch of snippets, so components are runs of stretches that
    // overlap.
    for (int64_t first = 0, last = 0; first < size && !unsolved; first = last) {
      int64_t end = instances[first].end;
      for (last = first + 1; last < size && instances[last].begin < end; ++last)
        if (instances[last].end > end) end = instances[last].end;
      add_component(instances + first, last - first);
    }
    write();
  }

  // The instances that count; their number.
  GAUFUSE_HD int64_t load() {
    const int64_t count = valid_count(params.counts, group, params.capacity);
    const int64_t num_snippets = valid_count(params.lengths, group, params.num_snippets);
    const T* segments = params.segments + 2 * group * params.capacity;
    const T* scores = params.scores + group * params.capacity;
    const T* weights =
        params.weights == nullptr ? nullptr : params.weights + group * params.capacity;
    int64_t size = 0;
    for (int64_t i = 0; i < count && num_snippets > 0; ++i) {
      const double weight = weights == nullptr ? 1.0 : static_cast<double>(weights[i]);
      const double confidence = static_cast<double>(scores[i]);
      // Checked on the CPU; on CUDA nobody has. x - x is zero for finite x only.
      const Segment segment = load_segment(segments, i);
      const double sum = weight + confidence + segment.start + segment.end;
      unsolved |= !(sum - sum == 0.0);
      if (!(weight > 0.0) || unsolved) continue;
      const MembershipRow row =
          make_membership_row(segment.start, segment.end, num_snippets, params.margin,
                              params.margin_power, params.terms.rows);
      const LinproInstance instance = make_instance(row, confidence, weight, i, num_snippets);
      if (params.terms.all_instances ? instance.end > 0 : row.inside.size() > 0)
        instances[size++] = instance;
      else if (params.terms.all_instances)
        miss(confidence);
    }
    return size;
  }

  // A confidence without a snippet to carry it cannot be met.
  GAUFUSE_HD void miss(double confidence) {
    residual += fabs(confidence);
    relaxed |= fabs(confidence) > kLinproGap;
  }

  GAUFUSE_HD void add_component(const LinproInstance* members, int64_t count) {
    LinproComponent component{};
    LinproSolution solution{false, 0, 0.0};
    if (count <= kMostLinproInstances) {
      int64_t needed = 0;
      do {
        Arena arena = lend(needed);
        if (arena.size < needed) break;
        component.instances = members;
        component.count = static_cast<int>(count);
        component.terms = params.terms;
        solution = solve_component(component, arena);
        needed = arena.used > arena.size ? arena.used : 0;
      } while (needed > 0);
    }
    if (!solution.proved) {
      unsolved = true;
      return;
    }
    for (int c = 0; c < component.cells; ++c)
      fill(component.cuts[c], component.cuts[c + 1], component.scores[c]);
    objective += component.unit * component.objective;
    residual += component.residual;
    relaxed |= component.relaxed;
    if (solution.gap > gap) gap = solution.gap;
    pivots += solution.pivots;
    for (int64_t i = 0; i < count; ++i) covered |= members[i].row.inside.size() > 0;
  }

  GAUFUSE_HD void fill(int64_t begin, int64_t end, double score) {
    for (int64_t t = begin; t < end; ++t) labels()[t] = static_cast<T>(score);
  }

  GAUFUSE_HD void write() {
    if (unsolved) fill(0, params.num_snippets, 0.0);
    params.objective[group] = objective;
    params.residual[group] = residual;
    params.gap[group] = gap;
    params.pivots[group] = pivots;
    params.status[group] = static_cast<int64_t>(unsolved  ? LinproStatus::unsolved
                                                : relaxed ? LinproStatus::relaxed
                                                : covered ? LinproStatus::optimal
                                                          : LinproStatus::empty);
  }
};

// A worker of the device holds a group's instances and a component of up to kMostDeviceInstances of
// them: the largest layout that build_program() makes for it.
constexpr int64_t kMostDeviceInstances = 16;
constexpr int64_t kMostWorkers = 1 << 15;
constexpr int64_t kFewestWorkers = 128;
constexpr int64_t kMostWorkspace = 1 << 28;  // bytes, but for the fewest workers

inline LinproWorkspace plan_linpro_workspace(int64_t groups, int64_t capacity, Membership rows_of,
                                             bool with_variation) {
  const int64_t count = capacity < kMostDeviceInstances ? capacity : kMostDeviceInstances;
  const int64_t cells = rows_of == Membership::mean ? 2 * count : 6 * count;
  const int64_t rows = count + (with_variation ? cells : 0);
  // Every cell has two pieces, and one more for each instance that covers it.
  const int64_t columns = cells * (2 + count) + 2 * rows;
  const int64_t items = 8 * count + cells * (count + 8) + rows * (columns + 4) + 7 * columns;
  const int64_t bytes = capacity * static_cast<int64_t>(sizeof(LinproInstance)) + 8 * (items + 64);
  int64_t workers = kMostWorkspace / bytes;
  workers =
      workers < kFewestWorkers ? kFewestWorkers : (workers > kMostWorkers ? kMostWorkers : workers);
  return LinproWorkspace{groups < workers ? groups : workers, bytes};
}

}  // namespace gaufuse
