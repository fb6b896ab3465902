// Gives each group of a ragged batch to a team that fits the segments it really has, whatever the
// batch is padded to, without the host knowing the counts.
#pragma once

#include "cuda/group_items.cuh"
#include "cuda/team.cuh"
#include "gaufuse/groups.h"

namespace gaufuse {

constexpr int kGroupBlock = 256;
constexpr int kGroupWarps = kGroupBlock / 32;
constexpr int kGroupItems = 8;                               // segments a thread keeps in registers
constexpr int64_t kWarpSegments = 32 * kGroupItems;          // at most this many: a warp
static_assert(kOnChipSegments == kGroupBlock * kGroupItems,  // at most this many: in registers
              "Python allocates the workspace of larger groups by it");

// Blocks that look for large groups, one a group: none where the padding has no room for one.
GAUFUSE_HD int64_t large_tasks(int64_t groups, int64_t capacity) {
  return capacity > kWarpSegments ? groups : 0;
}

GAUFUSE_HD int64_t group_tasks(int64_t groups, int64_t capacity) {
  return large_tasks(groups, capacity) + (groups + kGroupWarps - 1) / kGroupWarps;
}

// A kernel of kGroupBlock threads and up to group_tasks(...) blocks calls body(team, store, group,
// count) for each group, where store.template Items<T> keeps the group's segments.
//
// The first blocks take one group each and end at once if it is small; the others take a small
// group a warp. A block has one task, so that the hardware hands tasks to whatever is free: nothing
// waits behind a large group, and large groups begin first, beside which the small ones run. (With
// fewer blocks than tasks, past the largest grid, the blocks stride over them.)
template <typename Value, typename Body>
__device__ void for_each_group(const int64_t* counts, int64_t groups, int64_t capacity, Body body) {
  __shared__ Value shared[2 * kGroupWarps];
  const int64_t large = large_tasks(groups, capacity);
  const int64_t tasks = group_tasks(groups, capacity);
  Team<kGroupBlock, Value> block(shared);
  for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
    if (task < large) {
      const int64_t count = valid_count(counts, task, capacity);
      if (count <= kWarpSegments) continue;
      if (count <= kOnChipSegments)
        body(block, InRegisters<kGroupItems>(), task, count);
      else
        body(block, InMemory(), task, count);
      continue;
    }
    const int64_t group = (task - large) * kGroupWarps + threadIdx.x / 32;
    if (group >= groups) continue;
    const int64_t count = valid_count(counts, group, capacity);
    if (count > kWarpSegments) continue;
    Team<32, Value> warp(nullptr);
    body(warp, InRegisters<kGroupItems>(), group, count);
  }
}

template <typename Params>
Status launch_groups(const char* name, void (*kernel)(Params), const Params& params, void* stream) {
  if (params.groups == 0) return Status();
  launch_kernel(kernel, grid_for(group_tasks(params.groups, params.capacity)), kGroupBlock, 0,
                stream, params);
  return launch_status(name);
}

}  // namespace gaufuse
