#include "gaufuse/linpro_labels.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/parallel.h"
#include "gaufuse/linpro_group.h"

namespace gaufuse {
namespace {

constexpr int64_t kFirstArena = 1 << 16;  // bytes
constexpr int64_t kMostArena = 1 << 25;   // a component that needs more is left unsolved

// Buffers that a thread keeps from group to group.
struct Scratch {
  std::vector<LinproInstance> instances;
  std::vector<char> memory;

  Arena lend(int64_t needed) {
    if (needed > kMostArena) return Arena{nullptr, 0, 0};
    const size_t bytes = static_cast<size_t>(std::max(needed, kFirstArena));
    if (memory.size() < bytes) memory.resize(bytes);
    return Arena{memory.data(), static_cast<int64_t>(memory.size()), 0};
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

}  // namespace

template <typename T>
Status linpro_labels_cpu(const LinproLabelsParams<T>& params, int threads) {
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, params.groups, params.capacity));
  GAUFUSE_RETURN_IF_BAD(
      check_counts("lengths", params.lengths, params.groups, params.num_snippets));
  FirstError error;
  parallel_for_groups(params.groups, params.counts, params.capacity, 1024, threads, [&](int64_t g) {
    if (error.add(check_group(params, g), g)) return;
    Scratch& scratch = thread_scratch<Scratch>();
    T* labels = params.labels + g * params.num_snippets;
    std::fill(labels, labels + params.num_snippets, T(0));
    scratch.instances.resize(valid_count(params.counts, g, params.capacity));
    const auto lend = [&](int64_t needed) { return scratch.lend(needed); };
    LinproGroup<T, decltype(lend)>{params, g, scratch.instances.data(), lend}.run();
  });
  return error.status();
}

template Status linpro_labels_cpu(const LinproLabelsParams<float>&, int);
template Status linpro_labels_cpu(const LinproLabelsParams<double>&, int);

}  // namespace gaufuse
