#include "cuda/warp_lanes.cuh"
#include "cuda/wide_stores.cuh"
#include "gaufuse/linpro_arenas.h"
#include "gaufuse/linpro_group.h"

namespace gaufuse {
namespace {

constexpr int64_t kNever = INT64_MAX;

// Where an instance's row is not zero; one that does not count begins never.
struct Stretch {
  int64_t begin;
  int64_t end;
};

// The stretches of a group's instances, found once for those that a lane can keep in registers.
// Nothing is stored for the others, however many: they are found anew in every pass.
template <typename T>
class Stretches {
 public:
  __device__ Stretches(const LinproGroup<T, WarpLanes>& group, int64_t count)
      : group_(group), count_(count) {
#pragma unroll
    for (int item = 0; item < kKept; ++item) kept_[item] = find(item * 32 + group.lanes.rank());
  }

  // visit(i, stretch) by all lanes together, each for its own i.
  template <typename Visit>
  __device__ void each(Visit visit) const {
    const int lane = group_.lanes.rank();
#pragma unroll
    for (int item = 0; item < kKept; ++item)
      if (item * 32 < count_) visit(item * 32 + lane, kept_[item]);
    for (int64_t first = kKept * 32; first < count_; first += 32)
      visit(first + lane, find(first + lane));
  }

 private:
  static constexpr int kKept = 4;

  __device__ Stretch find(int64_t i) const {
    if (i >= count_) return Stretch{kNever, 0};
    const LinproInstance instance = group_.load(i);
    return group_.takes_part(instance) ? Stretch{instance.begin, instance.end} : Stretch{kNever, 0};
  }

  const LinproGroup<T, WarpLanes>& group_;
  int64_t count_;
  Stretch kept_[kKept];
};

struct Earlier {
  __device__ int64_t operator()(int64_t a, int64_t b) const { return a < b ? a : b; }
};
struct Later {
  __device__ int64_t operator()(int64_t a, int64_t b) const { return a > b ? a : b; }
};

// Whether all values are finite; confidences that nothing carries are added up, in their order.
template <typename T>
__device__ bool check_group(LinproGroup<T, WarpLanes>& group, int64_t count) {
  for (int64_t first = 0; first < count; first += 32) {
    const int64_t i = first + group.lanes.rank();
    if (__any_sync(kFullWarp, i < count && !group.is_finite(i))) return false;
    if (!group.params.terms.all_instances) continue;
    double confidence = 0.0;
    bool missed = false;
    if (i < count) {
      const LinproInstance instance = group.load(i);
      missed = group.is_missed(instance);
      confidence = instance.confidence;
    }
    for (unsigned left = __ballot_sync(kFullWarp, missed); left != 0u; left &= left - 1u)
      group.miss(__shfl_sync(kFullWarp, confidence, __ffs(static_cast<int>(left)) - 1));
  }
  return true;
}

// The members of a component, by begin and then by number; null where they do not fit.
template <typename T>
__device__ const LinproInstance* gather_members(const LinproGroup<T, WarpLanes>& group,
                                                const Stretches<T>& stretches, int64_t begin,
                                                int64_t end, int size, Arena& arena) {
  struct Member {
    int64_t begin;
    int64_t number;
  };
  const WarpLanes& lanes = group.lanes;
  LinproInstance* members = arena.take<LinproInstance>(size);
  Member* unsorted = arena.take<Member>(size);
  if (unsorted == nullptr) return nullptr;
  int gathered = 0;
  stretches.each([&](int64_t i, Stretch stretch) {
    const bool inside = begin <= stretch.begin && stretch.begin < end;
    const unsigned all = __ballot_sync(kFullWarp, inside);
    const unsigned before = all & ((1u << lanes.rank()) - 1u);
    if (inside) unsorted[gathered + __popc(before)] = Member{stretch.begin, i};
    gathered += __popc(all);
  });
  lanes.sync();
  for (int k = lanes.rank(); k < size; k += lanes.size) {
    const Member own = unsorted[k];
    int place = 0;
    for (int other = 0; other < size; ++other)
      place += unsorted[other].begin < own.begin ||
               (unsorted[other].begin == own.begin && unsorted[other].number < own.number);
    members[place] = group.load(own.number);
  }
  lanes.sync();
  return members;
}

// A warp finds the components of a group, in the order of time, and solves them one after the
// other in the arena. False, and nothing is written but labels, where that is too small.
template <typename T>
__device__ bool solve_group(LinproGroup<T, WarpLanes>& group, const Arena& room) {
  const WarpLanes& lanes = group.lanes;
  const int64_t count = group.count();
  const int64_t num_snippets = group.params.num_snippets;
  store_zeros(group.params.labels + group.group * num_snippets, num_snippets, lanes.rank(),
              lanes.size);
  lanes.sync();
  group.unsolved = !check_group(group, count);
  const Stretches<T> stretches(group, group.unsolved ? 0 : count);
  for (int64_t from = 0; !group.unsolved;) {
    int64_t begin = kNever;
    stretches.each([&](int64_t, Stretch stretch) {
      if (stretch.begin >= from) begin = Earlier()(begin, stretch.begin);
    });
    begin = lanes.reduce(begin, Earlier());
    if (begin == kNever) break;

    int64_t end = begin + 1;
    int size = 0;
    for (int64_t before = 0; end > before;) {
      before = end;
      size = 0;
      stretches.each([&](int64_t, Stretch stretch) {
        if (stretch.begin < begin || stretch.begin >= before) return;
        end = Later()(end, stretch.end);
        ++size;
      });
      end = lanes.reduce(end, Later());
    }
    size = lanes.reduce(size, Add());
    if (size > kMostLinproInstances) {
      group.unsolved = true;
      break;
    }
    Arena arena = room;
    const LinproInstance* members = gather_members(group, stretches, begin, end, size, arena);
    if (members == nullptr || group.add_component(members, size, arena) > 0) return false;
    from = end;
  }
  group.write();
  return true;
}

// A warp, which is a block, per group. shared_bytes: of its arena; 0: it lies in the workspace.
// From the second launch on only what is left over is looked at; what the last cannot solve either
// is unsolved.
template <typename T>
__global__ void __launch_bounds__(32)
    linpro_labels_kernel(const LinproLabelsParams<T> params, int64_t shared_bytes, bool is_first,
                         bool is_last) {
  Arena arena{dynamic_shared<char>(), shared_bytes, 0};
  if (shared_bytes == 0)
    arena = Arena{params.workspace + blockIdx.x * params.worker_bytes, params.worker_bytes, 0};
  const auto left_over = static_cast<int64_t>(LinproStatus::left_over);
  const int64_t step = gridDim.x;
  for (int64_t first = blockIdx.x; first < params.groups; first += 32 * step) {
    const int64_t own = first + threadIdx.x * step;
    const bool waits = own < params.groups && (is_first || params.status(own) == left_over);
    for (unsigned left = __ballot_sync(kFullWarp, waits); left != 0u; left &= left - 1u) {
      LinproGroup<T, WarpLanes> group{params, first + (__ffs(static_cast<int>(left)) - 1) * step,
                                      WarpLanes()};
      if (solve_group(group, arena)) continue;
      __syncwarp();
      group.unsolved = true;
      if (is_last) group.write();
      if (!is_last && threadIdx.x == 0) params.status(group.group) = left_over;
    }
  }
}

}  // namespace

template <typename T>
Status linpro_labels_cuda(const LinproLabelsParams<T>& params, void* stream) {
  if (params.groups == 0) return Status();
  const int64_t most =
      most_arena_bytes(params.capacity, params.terms.rows, params.terms.variation > 0.0);
  const auto launch = [&](int64_t blocks, int64_t shared_bytes, bool is_first, bool is_last) {
    launch_kernel(
        linpro_labels_kernel<T>, grid_for(blocks < params.groups ? blocks : params.groups), 32,
        static_cast<size_t>(shared_bytes), stream, params, shared_bytes, is_first, is_last);
    return launch_status("linpro_labels");
  };
  const bool all_small = most <= kSmallArena;
  const bool all_shared = most <= kMiddleArena;
  Status status = launch(params.groups, all_small ? most : kSmallArena, true, all_small);
  if (status.ok() && !all_small)
    status = launch(kMiddleWorkers, all_shared ? most : kMiddleArena, false, all_shared);
  if (status.ok() && !all_shared) status = launch(params.workers, 0, false, true);
  return status;
}

template Status linpro_labels_cuda(const LinproLabelsParams<float>&, void*);
template Status linpro_labels_cuda(const LinproLabelsParams<double>&, void*);

}  // namespace gaufuse
