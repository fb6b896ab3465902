#include "cpu/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

struct Job {
  const std::function<void(int64_t, int64_t)>* body;
  int64_t items;
  int64_t grain;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;

  void work() {
    try {
      while (!failed) {
        const int64_t begin = next.fetch_add(grain);
        if (begin >= items) return;
        (*body)(begin, std::min(items, begin + grain));
      }
    } catch (...) {  // out of memory: on a worker it would end the process
      if (!failed.exchange(true)) error = std::current_exception();
    }
  }
};

class Pool {
 public:
  void run(Job& job, int helpers) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      try {
        while (static_cast<int>(workers_.size()) < helpers)
          workers_.emplace_back([this] { serve(); });
      } catch (const std::exception&) {
        // No more threads, or no memory for one: those that there are do the work.
      }
      job_ = &job;
      wanted_ = helpers;
    }
    wake_.notify_all();
    job.work();
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;  // a worker that wakes up only now finds nothing to do
    wanted_ = 0;
    done_.wait(lock, [this] { return active_ == 0; });
  }

  std::mutex busy;  // held by the thread whose job runs

 private:
  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return job_ != nullptr && wanted_ > 0; });
      Job* job = job_;
      --wanted_;
      ++active_;
      lock.unlock();
      job->work();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> workers_;
  Job* job_ = nullptr;
  int wanted_ = 0;
  int active_ = 0;
};

// Leaked on purpose: workers may outlive static destructors. After fork() the child has none of
// the parent's workers, so it starts with a new pool.
Pool*& pool() {
  static Pool* instance = [] {
    pthread_atfork(nullptr, nullptr, [] { pool() = new Pool; });
    return new Pool;
  }();
  return instance;
}

thread_local bool inside_job = false;

}  // namespace

void parallel_for(int64_t items, int64_t grain, int threads,
                  const std::function<void(int64_t, int64_t)>& body) {
  if (items <= 0) return;
  grain = std::max<int64_t>(1, grain);
  const int64_t chunks = (items + grain - 1) / grain;
  const int helpers = static_cast<int>(std::min<int64_t>(std::max(threads, 1), chunks)) - 1;
  if (helpers <= 0 || inside_job) return body(0, items);
  Pool& current = *pool();
  std::unique_lock<std::mutex> lock(current.busy, std::try_to_lock);
  if (!lock.owns_lock()) return body(0, items);
  Job job;
  job.body = &body;
  job.items = items;
  job.grain = grain;
  inside_job = true;
  current.run(job, helpers);
  inside_job = false;
  if (job.error) std::rethrow_exception(job.error);
}

void parallel_for_groups(int64_t groups, const int64_t* counts, int64_t capacity,
                         int64_t work_per_item, int threads,
                         const std::function<void(int64_t)>& body) {
  if (counts == nullptr || threads <= 1)
    return parallel_for(groups, grain_for(work_per_item * capacity), threads,
                        [&](int64_t begin, int64_t end) {
                          for (int64_t g = begin; g < end; ++g) body(g);
                        });
  // Counting sort by the number of bits of the count, largest first.
  constexpr int kBits = 64;
  const auto bits_of = [&](int64_t group) {
    const int64_t count = valid_count(counts, group, capacity);
    return count > 0 ? kBits - 1 - __builtin_clzll(static_cast<uint64_t>(count)) : 0;
  };
  std::vector<int64_t> next(kBits + 1, 0);
  for (int64_t g = 0; g < groups; ++g) ++next[kBits - bits_of(g)];
  for (int b = 0; b < kBits; ++b) next[b + 1] += next[b];
  std::vector<int64_t> order(groups);
  for (int64_t g = 0; g < groups; ++g) order[next[kBits - 1 - bits_of(g)]++] = g;

  std::vector<int64_t> chunks(1, 0);
  int64_t work = 0;
  for (int64_t i = 0; i < groups; ++i) {
    work += work_per_item * (1 + valid_count(counts, order[i], capacity));
    if (work < kMinWork && i + 1 < groups) continue;
    chunks.push_back(i + 1);
    work = 0;
  }
  parallel_for(static_cast<int64_t>(chunks.size()) - 1, 1, threads,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = chunks[begin]; i < chunks[end]; ++i) body(order[i]);
               });
}

int64_t grain_for(int64_t work_per_item, int64_t min_work) {
  return std::max<int64_t>(1, min_work / std::max<int64_t>(1, work_per_item));
}

}  // namespace gaufuse
