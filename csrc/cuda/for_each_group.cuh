// Gives each group of a ragged batch to a team that fits the segments it really has, whatever the
// batch is padded to, without the host knowing the counts.
#pragma once

#include "cuda/group_items.cuh"
#include "cuda/team.cuh"
#include "gaufuse/groups.h"

namespace gaufuse {

constexpr int kGroupBlock = 256;
constexpr int kGroupWarps = kGroupBlock / 32;
constexpr int kGroupBlocks = 2;                              // at least so many a multiprocessor
constexpr int kGroupItems = 8;                               // segments a thread keeps in registers
constexpr int64_t kWarpSegments = 32 * kGroupItems;          // at most this many: a warp
static_assert(kOnChipSegments == kGroupBlock * kGroupItems,  // at most this many: in registers
              "Python allocates the workspace of larger groups by it");

// Blocks that look for groups that are for a block, one a group: none where the padding has no room
// for one.
GAUFUSE_HD int64_t block_tasks(int64_t groups, int64_t capacity) {
  return capacity > kWarpSegments ? groups : 0;
}

GAUFUSE_HD int64_t group_tasks(int64_t groups, int64_t capacity) {
  return block_tasks(groups, capacity) + (groups + kGroupWarps - 1) / kGroupWarps;
}

// A kernel of kGroupBlock threads and up to group_tasks(...) blocks calls body(team, store, group,
// count) for each group that fits on chip, where store.template Items<T> keeps its segments.
//
// The first blocks take one group each and end at once if it is small; the others take a small
// group a warp. A block has one task, so that the hardware hands tasks to whatever is free: nothing
// waits behind a large group, and large groups begin first, beside which the small ones run. (With
// fewer blocks than tasks the blocks stride over them.)
template <typename Value, typename Body>
__device__ void for_each_group(const int64_t* counts, int64_t groups, int64_t capacity, Body body) {
  __shared__ Value shared[2 * kGroupWarps];
  const int64_t for_blocks = block_tasks(groups, capacity);
  const int64_t tasks = group_tasks(groups, capacity);
  Team<kGroupBlock, Value> block(shared);
  for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
    if (task < for_blocks) {
      const int64_t count = valid_count(counts, task, capacity);
      if (count > kWarpSegments && count <= kOnChipSegments)
        body(block, InRegisters<kGroupItems>(), task, count);
      continue;
    }
    const int64_t group = (task - for_blocks) * kGroupWarps + threadIdx.x / 32;
    if (group >= groups) continue;
    const int64_t count = valid_count(counts, group, capacity);
    if (count > kWarpSegments) continue;
    Team<32, Value> warp(nullptr);
    body(warp, InRegisters<kGroupItems>(), group, count);
  }
}

// The same of a second kernel, of up to kLargeGroupBlocks blocks, for the groups that do not fit.
template <typename Value, typename Body>
__device__ void for_each_large_group(const int64_t* counts, int64_t groups, int64_t capacity,
                                     Body body) {
  __shared__ Value shared[2 * kGroupWarps];
  Team<kGroupBlock, Value> block(shared);
  for (int64_t group = blockIdx.x; group < groups; group += gridDim.x) {
    const int64_t count = valid_count(counts, group, capacity);
    if (count > kOnChipSegments) body(block, InMemory(), group, count);
  }
}

// Large groups are looked for only where the padding has room for one.
template <typename Params>
Status launch_groups(const char* name, void (*kernel)(Params), void (*large_kernel)(Params),
                     const Params& params, void* stream, int64_t most_blocks = kMaxGrid) {
  const Status size = check_group_size(params.capacity);
  if (!size.ok() || params.groups == 0) return size;
  const int64_t tasks = group_tasks(params.groups, params.capacity);
  launch_kernel(kernel, grid_for(tasks < most_blocks ? tasks : most_blocks), kGroupBlock, 0, stream,
                params);
  const Status status = launch_status(name);
  if (!status.ok() || params.capacity <= kOnChipSegments) return status;
  const int64_t blocks = params.groups < kLargeGroupBlocks ? params.groups : kLargeGroupBlocks;
  launch_kernel(large_kernel, grid_for(blocks), kGroupBlock, 0, stream, params);
  return launch_status(name);
}

}  // namespace gaufuse
