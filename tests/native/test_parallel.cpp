// parallel_for: every item once, whatever the threads; errors come back; callers do not wait for
// one another; a forked child has a pool of its own.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <new>
#include <thread>
#include <vector>

#include "cpu/parallel.h"
#include "fuzz/check.h"

namespace gaufuse {
namespace {

void check_every_item_once(int64_t items, int64_t grain, int threads) {
  std::vector<std::atomic<int>> seen(static_cast<size_t>(items));
  parallel_for(items, grain, threads, [&](int64_t begin, int64_t end) {
    CHECK(begin >= 0 && begin < end && end <= items);
    for (int64_t i = begin; i < end; ++i) ++seen[i];
  });
  for (const std::atomic<int>& count : seen) CHECK(count == 1);
}

void check_groups(int64_t groups, int threads) {
  std::vector<int64_t> counts(groups);
  for (int64_t g = 0; g < groups; ++g) counts[g] = g * g % 701 - 3;  // some out of range
  for (const int64_t* given :
       {static_cast<const int64_t*>(counts.data()), static_cast<const int64_t*>(nullptr)}) {
    std::vector<std::atomic<int>> seen(groups);
    parallel_for_groups(groups, given, 600, 64, threads, [&](int64_t g) { ++seen[g]; });
    for (const std::atomic<int>& count : seen) CHECK(count == 1);
  }
}

void check_errors(int threads) {
  for (int64_t bad : {0, 57, 999}) {
    bool caught = false;
    try {
      parallel_for(1000, 1, threads, [&](int64_t begin, int64_t end) {
        if (begin <= bad && bad < end) throw std::bad_alloc();
      });
    } catch (const std::bad_alloc&) {
      caught = true;
    }
    CHECK(caught);
  }
  check_every_item_once(1000, 1, threads);  // the pool goes on
}

void check_nested() {
  std::atomic<int64_t> sum{0};
  parallel_for(20, 1, 4, [&](int64_t begin, int64_t end) {
    parallel_for((end - begin) * 10, 1, 4,
                 [&](int64_t first, int64_t last) { sum += last - first; });
  });
  CHECK(sum == 200);
}

void check_callers() {
  std::vector<std::thread> callers;
  for (int k = 0; k < 4; ++k)
    callers.emplace_back([] {
      for (int i = 0; i < 30; ++i) check_every_item_once(200 + i, 3, 3);
    });
  for (std::thread& caller : callers) caller.join();
}

void check_fork() {
#ifndef __SANITIZE_THREAD__  // which does not follow threads that a child starts
  const pid_t child = fork();
  if (child == 0) {
    check_every_item_once(500, 1, 3);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

}  // namespace
}  // namespace gaufuse

int main() {
  using namespace gaufuse;
  for (int threads : {-1, 0, 1, 2, 5})
    for (int64_t items : {0, 1, 2, 7, 1000})
      for (int64_t grain : {-5, 0, 1, 3, 5000}) check_every_item_once(items, grain, threads);
  for (int threads : {1, 2, 4})
    for (int64_t groups : {0, 1, 500}) check_groups(groups, threads);
  for (int threads : {1, 4}) check_errors(threads);
  check_nested();
  check_callers();
  check_fork();
  check_every_item_once(1000, 1, 4);
  CHECK(grain_for(0) == kMinWork && grain_for(INT64_MAX) == 1 && grain_for(-1) == kMinWork);
  return 0;
}
