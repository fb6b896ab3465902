// Where the warps of linpro_labels_cuda work. Three launches, each with fewer and larger arenas,
// each for the groups that the one before it had no room for: what nearly all groups need lies in
// shared memory, and no memory is laid out for what batches are padded to.
#pragma once

#include <cstdint>

#include "gaufuse/linpro_program.h"

namespace gaufuse {

constexpr int64_t kSmallArena = 13 * 1024;   // shared: 16 warps a multiprocessor of an H100, as
                                             // many as its registers hold
constexpr int64_t kMiddleArena = 47 * 1024;  // shared: what a block gets without asking for more
constexpr int64_t kLargeArena = 1 << 20;     // in the workspace
constexpr int64_t kMiddleWorkers = 1024;
constexpr int64_t kLargeWorkers = 128;

// What a warp needs at most for a component of a batch whose groups hold up to `capacity`: its
// instances, where they begin, and their program.
inline int64_t most_arena_bytes(int64_t capacity, Membership rows, bool with_variation) {
  const int64_t count = capacity < kMostLinproInstances ? capacity : kMostLinproInstances;
  return count * static_cast<int64_t>(sizeof(LinproInstance) + 2 * sizeof(int64_t)) +
         most_component_bytes(count, rows, with_variation);
}

inline LinproWorkspace plan_linpro_workspace(int64_t groups, int64_t capacity, Membership rows,
                                             bool with_variation) {
  const int64_t most = most_arena_bytes(capacity, rows, with_variation);
  if (most <= kMiddleArena) return LinproWorkspace{0, 0};
  return LinproWorkspace{groups < kLargeWorkers ? groups : kLargeWorkers,
                         most < kLargeArena ? most : kLargeArena};
}

}  // namespace gaufuse
