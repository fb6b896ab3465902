// The CPU kernels' thread pool.
#pragma once

#include <cstdint>
#include <functional>

namespace gaufuse {

// Units of work, of about a nanosecond, that are worth handing to a thread.
constexpr int64_t kMinWork = 32768;

// Calls body(begin, end) over disjoint chunks of [0, items), at most `grain` items a chunk, on at
// most `threads` threads (the caller's is one of them). Chunks are handed out as threads become
// free. The body must not depend on which thread runs it; if it throws, work ends and the caller
// gets the exception. Workers are kept between calls; a call from inside a body, or while another
// thread's call is running, does all of its work on its own thread. Safe to use after fork().
void parallel_for(int64_t items, int64_t grain, int threads,
                  const std::function<void(int64_t, int64_t)>& body);

// Calls body(group) for every group, `counts[g]` (null: `capacity`) times `work_per_item` units of
// work each. Work is split by cost, the largest groups first, so that none is left to the end.
void parallel_for_groups(int64_t groups, const int64_t* counts, int64_t capacity,
                         int64_t work_per_item, int threads,
                         const std::function<void(int64_t)>& body);

// A grain for groups of equal cost: chunks of at least `min_work` units of work.
int64_t grain_for(int64_t work_per_item, int64_t min_work = kMinWork);

// A thread's own Scratch, kept between calls. Out of line: inlined, the compiler looks the address
// up again at every use.
template <typename Scratch>
__attribute__((noinline)) Scratch& thread_scratch() {
  static thread_local Scratch scratch;
  return scratch;
}

}  // namespace gaufuse
