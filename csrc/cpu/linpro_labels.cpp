#include "gaufuse/linpro_labels.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/parallel.h"
#include "gaufuse/linpro_group.h"
#include "gaufuse/linpro_path_solver.h"

namespace gaufuse {
namespace {

constexpr int64_t kFirstArena = 1 << 16;  // bytes
constexpr int64_t kMostArena = 1 << 25;   // a component that needs more is left unsolved
constexpr int64_t kMostPathArena = int64_t{1} << 31;  // the same on its path
// Instances of a component from which on it takes the path. That is faster from four on, 2 to 5
// times at 8 and 17 to 21 times at 32; below, CUDA, which has no path, gives the same bits.
constexpr int64_t kLeastPathInstances = 33;

// Buffers that a thread keeps from group to group.
struct Scratch {
  std::vector<LinproInstance> instances;
  std::vector<char> memory;

  // Of at least so many bytes; with none where that is too much.
  Arena lend(int64_t needed, int64_t most) {
    if (needed > most) return Arena{nullptr, 0, 0};
    const size_t bytes = static_cast<size_t>(std::max(needed, kFirstArena));
    if (memory.size() < bytes) memory.resize(bytes);
    return Arena{memory.data(), static_cast<int64_t>(memory.size()), 0};
  }

  // What a large component took is not kept.
  void give_back() {
    if (static_cast<int64_t>(memory.size()) > kMostArena) std::vector<char>().swap(memory);
  }
};

template <typename T>
Status check_group(const LinproLabelsParams<T>& params, int64_t group) {
  const int64_t count = valid_count(params.counts, group, params.capacity);
  const int64_t first = group * params.capacity;
  GAUFUSE_RETURN_IF_BAD(check_segments("segments", params.segments + 2 * first, count, group));
  GAUFUSE_RETURN_IF_BAD(check_finite("scores", params.scores + first, count, group));
  if (params.weights == nullptr) return Status();
  return check_weights("weights", params.weights + first, count, group);
}

// Zero, or how many bytes the arena would have to have.
template <typename T>
int64_t add_path(LinproGroup<T, OneLane>& sums, const LinproInstance* members, int64_t size,
                 Arena arena) {
  LinproComponent component{};
  component.instances = members;
  component.count = static_cast<int>(size);
  component.terms = sums.params.terms;
  const LinproSolution solution = solve_on_path(component, arena);
  if (arena.used > arena.size) return arena.used;
  sums.add_solution(component, solution);
  return 0;
}

template <typename T>
void solve_group(const LinproLabelsParams<T>& params, int64_t group, Scratch& scratch) {
  LinproGroup<T, OneLane> sums{params, group, OneLane()};
  sums.fill(0, params.num_snippets, 0.0);
  scratch.instances.clear();
  for (int64_t i = 0; i < sums.count(); ++i) {
    const LinproInstance instance = sums.load(i);
    if (sums.takes_part(instance)) scratch.instances.push_back(instance);
    if (sums.is_missed(instance)) sums.miss(instance.confidence);
  }
  const auto size = static_cast<int64_t>(scratch.instances.size());
  LinproInstance* instances = scratch.instances.data();
  std::sort(instances, instances + size, [](const LinproInstance& a, const LinproInstance& b) {
    return a.begin < b.begin || (a.begin == b.begin && a.number < b.number);
  });
  for (int64_t first = 0, last = 0; first < size && !sums.unsolved; first = last) {
    int64_t end = instances[first].end;
    for (last = first + 1; last < size && instances[last].begin < end; ++last)
      end = std::max(end, instances[last].end);
    const bool on_path = last - first >= kLeastPathInstances && takes_path(params.terms);
    int64_t needed = 0;
    do {
      const Arena arena = scratch.lend(needed, on_path ? kMostPathArena : kMostArena);
      sums.unsolved = arena.size < needed;
      if (sums.unsolved) break;
      needed = on_path ? add_path(sums, instances + first, last - first, arena)
                       : sums.add_component(instances + first, last - first, arena);
    } while (needed > 0);
  }
  scratch.give_back();
  sums.write();
}

}  // namespace

template <typename T>
Status linpro_labels_cpu(const LinproLabelsParams<T>& params, int threads) {
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, params.groups, params.capacity));
  GAUFUSE_RETURN_IF_BAD(
      check_counts("lengths", params.lengths, params.groups, params.num_snippets));
  FirstError error;
  parallel_for_groups(params.groups, params.counts, params.capacity, 1024, threads, [&](int64_t g) {
    if (error.add(check_group(params, g), g)) return;
    solve_group(params, g, thread_scratch<Scratch>());
  });
  return error.status();
}

template Status linpro_labels_cpu(const LinproLabelsParams<float>&, int);
template Status linpro_labels_cpu(const LinproLabelsParams<double>&, int);

}  // namespace gaufuse
