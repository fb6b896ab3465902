// See emulator.h. This file is compiled without -fsanitize=thread.

// Fibers jump between stacks, which fortified longjmp takes for an error.
#undef _FORTIFY_SOURCE

#include "emulator.h"

#include <link.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

constexpr size_t kMaxDynamicShared = 48 * 1024;  // what a kernel gets without asking for more

namespace gaufuse {
alignas(16) thread_local unsigned char gaufuse_dynamic_shared[kMaxDynamicShared];
}

namespace cuda_emulation {
namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStackBytes = 256 * 1024;  // of address space; touched pages only are memory
constexpr size_t kGuardBytes = 4096;
constexpr unsigned kMaxThreads = 1024;
constexpr int kFault = 719;  // cudaErrorLaunchFailure

enum class State { ready, in_block_barrier, in_warp_operation, done };
enum class WarpOperation { sync, ballot, shuffle };
enum Schedule : int { ascending = 0, descending = 1, shuffled = 2 };

struct Fiber {
  jmp_buf registers;
  bool started = false;
  char* stack = nullptr;
  State state = State::done;
  Site site{};
  // What it brings to the meeting point where it waits, and what it takes away.
  WarpOperation operation{};
  unsigned mask = 0;
  int source = 0;
  uint64_t value = 0;
};

// Who last wrote and read a place, and when.
struct Cell {
  uint32_t write_time = 0, read_time = 0;
  uint32_t write_warp_time = 0, read_warp_time = 0;
  uint16_t writer = 0, reader = 0;
};
constexpr uint16_t kSeveral = 0xffff;
constexpr uint16_t kSeveralOfWarp = 0x8000;  // plus the warp: __syncwarp orders what they did

struct Memory {
  uintptr_t start, end;
  size_t grain;  // bytes of an element
  bool is_input;
  std::string name;
  std::vector<Cell> cells;
};

std::mutex launch_mutex;
Fiber fibers[kMaxThreads];
Fiber* current = nullptr;  // null outside of kernels
jmp_buf scheduler;
char error_text[512];
int error_code = 0;

int schedule = ascending;
uint64_t random_state = 1;
unsigned max_blocks = 0xffffffffu;

Index the_block{}, the_block_size{}, the_grid_size{};
void (*body)(const void*) = nullptr;
const void* body_context = nullptr;
uintptr_t host_stack = 0;
size_t dynamic_bytes = 0;

// Time goes on with every barrier and every block, over all launches; a warp's own with __syncwarp.
uint32_t now = 1, block_began = 1, launch_began = 1;
uint32_t warp_now[kMaxThreads / kWarp];
std::vector<Memory> buffers;
Memory shared_memory{0, 0, 4, false, "", {}};
bool knows_buffers = false;
unsigned in_barrier = 0;                     // how many threads of the block wait at a barrier
unsigned in_operation[kMaxThreads / kWarp];  // bits of the lanes that wait at a warp operation

unsigned thread_of(const Fiber* fiber) { return static_cast<unsigned>(fiber - fibers); }

const char* base_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash ? slash + 1 : path;
}

__attribute__((noinline)) void switch_to_scheduler() {
  if (_setjmp(current->registers) == 0) _longjmp(scheduler, 1);
}

// Ends the launch: the scheduler abandons every fiber.
__attribute__((format(printf, 1, 2))) void fail(const char* format, ...) {
  if (error_code == 0) {
    error_code = kFault;
    const int begun = std::snprintf(error_text, sizeof(error_text), "block %u: ", the_block.x);
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(error_text + begun, sizeof(error_text) - begun, format, arguments);
    va_end(arguments);
  }
  if (current != nullptr) _longjmp(scheduler, 1);
}

void fiber_main() {
  for (;;) {
    body(body_context);
    current->state = State::done;
    switch_to_scheduler();
  }
}

void make_stack(Fiber& fiber) {
  void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  mprotect(memory, kGuardBytes, PROT_NONE);  // an overflow must not run into the next stack
  fiber.stack = static_cast<char*>(memory);
}

// ucontext starts a fiber; from then on setjmp and longjmp switch, without its system calls.
__attribute__((noinline)) void resume(Fiber& fiber) {
  current = &fiber;
  if (_setjmp(scheduler) == 0) {
    if (fiber.started) _longjmp(fiber.registers, 1);
    fiber.started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack;
    // Not all tops of stacks at one place of the caches: that costs a factor of several.
    context.uc_stack.ss_size = kStackBytes - thread_of(&fiber) % 16 * 192;
    context.uc_link = nullptr;
    makecontext(&context, fiber_main, 0);
    setcontext(&context);
  }
  current = nullptr;
}

const char* describe(const Fiber& fiber, char* text, size_t size) {
  if (fiber.state == State::done)
    std::snprintf(text, size, "has ended");
  else
    std::snprintf(text, size, "waits at %s (%s:%d)", fiber.site.operation,
                  base_name(fiber.site.file), fiber.site.line);
  return text;
}

bool same_site(const Site& a, const Site& b) {
  const auto same = [](const char* x, const char* y) { return x == y || std::strcmp(x, y) == 0; };
  return a.line == b.line && same(a.operation, b.operation) && same(a.file, b.file);
}

// Nobody can go on: names one who waits and one it waits for.
void report_stuck(unsigned threads) {
  char a[128], b[128];
  for (unsigned t = 0; t < threads; ++t) {
    const Fiber& fiber = fibers[t];
    if (fiber.state != State::in_warp_operation) continue;
    const unsigned first = t / kWarp * kWarp;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if (!(fiber.mask >> lane & 1)) continue;
      if (first + lane >= threads)
        return fail("missing lane: thread %u %s for lane %u, which does not exist", t,
                    describe(fiber, a, sizeof(a)), lane);
      const Fiber& other = fibers[first + lane];
      if (other.state != State::in_warp_operation || !same_site(other.site, fiber.site) ||
          other.mask != fiber.mask)
        return fail("missing lane: thread %u %s for thread %u, which %s", t,
                    describe(fiber, a, sizeof(a)), first + lane, describe(other, b, sizeof(b)));
    }
  }
  for (unsigned t = 0; t < threads; ++t) {
    if (fibers[t].state != State::in_block_barrier) continue;
    for (unsigned other = 0; other < threads; ++other)
      if (fibers[other].state != State::in_block_barrier)
        return fail("divergent barrier: thread %u %s for thread %u, which %s", t,
                    describe(fibers[t], a, sizeof(a)), other,
                    describe(fibers[other], b, sizeof(b)));
  }
  fail("stuck");
}

uint64_t random_number() {  // xorshift64
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

// Runs the ready lanes of a warp, and those that this makes ready, until none is: a warp's fibers
// stay in the cache. Shuffled, it may leave off before, for warps to overtake one another.
bool run_warp(unsigned warp, unsigned lanes) {
  unsigned order[kWarp];
  for (unsigned i = 0; i < lanes; ++i)
    order[i] = warp * kWarp + (schedule == descending ? lanes - 1 - i : i);
  for (bool moved = false, again = true; again; moved = true) {
    if (schedule == shuffled) {
      for (unsigned i = lanes; i > 1; --i) std::swap(order[i - 1], order[random_number() % i]);
      if (moved && random_number() % 16 == 0) return true;
    }
    again = false;
    for (unsigned i = 0; i < lanes; ++i) {
      if (fibers[order[i]].state != State::ready) continue;
      again = true;
      resume(fibers[order[i]]);
      if (error_code != 0) return false;
    }
    if (!again) return moved;
  }
  return false;
}

void run_block(unsigned threads) {
  const unsigned warps = (threads + kWarp - 1) / kWarp;
  unsigned order[kMaxThreads / kWarp];
  block_began = ++now;
  in_barrier = 0;
  for (unsigned w = 0; w < warps; ++w) {
    warp_now[w] = 1;
    in_operation[w] = 0;
    order[w] = schedule == descending ? warps - 1 - w : w;
  }
  for (unsigned t = 0; t < threads; ++t) fibers[t].state = State::ready;
  for (bool moved = true; moved && error_code == 0;) {
    if (schedule == shuffled)
      for (unsigned w = warps; w > 1; --w) std::swap(order[w - 1], order[random_number() % w]);
    moved = false;
    for (unsigned w = 0; w < warps && error_code == 0; ++w)
      moved |= run_warp(order[w], std::min(kWarp, threads - order[w] * kWarp));
  }
  const auto done = [](const Fiber& fiber) { return fiber.state == State::done; };
  if (error_code == 0 && !std::all_of(fibers, fibers + threads, done)) report_stuck(threads);
  if (error_code != 0)
    for (Fiber& fiber : fibers) fiber.started = false;  // its stack is used anew
}

// Waits for the lanes of the mask; the last one to come works out everyone's result.
uint64_t meet_warp(WarpOperation operation, unsigned mask, uint64_t value, int source, Site site) {
  Fiber& mine = *current;
  const unsigned thread = thread_of(current);
  const unsigned lane = thread % kWarp;
  Fiber* warp = fibers + thread / kWarp * kWarp;
  mine.site = site;
  if (!(mask >> lane & 1))
    fail("thread %u calls %s (%s:%d) with a mask that does not name it", thread, site.operation,
         base_name(site.file), site.line);
  mine.state = State::in_warp_operation;
  mine.operation = operation;
  mine.mask = mask;
  mine.value = value;
  mine.source = source;

  unsigned& arrived = in_operation[thread / kWarp];
  arrived |= 1u << lane;
  bool complete = (arrived & mask) == mask;
  for (unsigned i = 0; i < kWarp && complete; ++i)
    if (mask >> i & 1) complete = warp[i].mask == mask && same_site(warp[i].site, site);
  if (!complete) {
    switch_to_scheduler();
    return mine.value;
  }

  arrived &= ~mask;
  uint64_t values[kWarp] = {}, ballot_bits = 0;
  for (unsigned i = 0; i < kWarp; ++i) {
    if (!(mask >> i & 1)) continue;
    values[i] = warp[i].value;
    ballot_bits |= static_cast<uint64_t>(warp[i].value != 0) << i;
  }
  for (unsigned i = 0; i < kWarp; ++i) {
    if (!(mask >> i & 1)) continue;
    Fiber& fiber = warp[i];
    fiber.state = State::ready;
    if (operation == WarpOperation::ballot) fiber.value = ballot_bits;
    if (operation != WarpOperation::shuffle || fiber.source < 0 ||
        fiber.source >= static_cast<int>(kWarp))
      continue;
    if (!(mask >> fiber.source & 1))
      fail("thread %u shuffles from lane %d, which takes no part (%s:%d)", thread_of(&fiber),
           fiber.source, base_name(site.file), site.line);
    fiber.value = values[fiber.source];
  }
  // A part of a warp is ordered only among itself: to keep no account of parts, it is not at all.
  if (operation == WarpOperation::sync && mask == 0xffffffffu) ++warp_now[thread / kWarp];
  return mine.value;
}

// This module's variables of the calling thread: those that are __shared__ are among them.
int find_thread_locals(dl_phdr_info* info, size_t, void*) {
  const auto start = reinterpret_cast<uintptr_t>(info->dlpi_tls_data);
  const auto inside = reinterpret_cast<uintptr_t>(gaufuse::gaufuse_dynamic_shared);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const size_t size = info->dlpi_phdr[i].p_memsz;
    if (info->dlpi_phdr[i].p_type != PT_TLS || inside - start >= size) continue;
    shared_memory.start = start;
    shared_memory.end = start + size;
    shared_memory.cells.resize(size / 4 + 1);
  }
  return 0;
}

void check_cell(Memory& memory, size_t index, bool writes) {
  Cell& cell = memory.cells[index];
  const bool is_shared = &memory == &shared_memory;
  const auto thread = static_cast<uint16_t>(thread_of(current));
  const uint32_t warp_time = warp_now[thread / kWarp];
  const auto warp_of = [](uint16_t other) {
    return other >= kSeveralOfWarp ? other - kSeveralOfWarp : other / kWarp;
  };
  const auto ordered = [&](uint16_t other, uint32_t other_warp_time) {
    return other == thread ||
           (other != kSeveral && warp_of(other) == warp_of(thread) && other_warp_time < warp_time);
  };
  char text[64];
  const auto place = [&] {
    if (is_shared) return "shared memory";
    std::snprintf(text, sizeof(text), "element %zu of argument %s", index, memory.name.c_str());
    return static_cast<const char*>(text);
  };
  const char* accesses = writes ? "writes" : "reads";
  const auto race = [&](const char* accessed, unsigned other) {
    if (other >= kSeveralOfWarp)
      fail("race: thread %u %s %s, which several threads %s, with no barrier in between", thread,
           accesses, place(), accessed);
    fail("race: thread %u %s %s, which thread %u %s, with no barrier in between", thread, accesses,
         place(), other, accessed);
  };
  const uint32_t since = is_shared ? block_began : launch_began;
  if (cell.write_time >= since) {
    if (cell.write_time < block_began)
      fail("race: thread %u %s %s, which another block wrote", thread, accesses, place());
    if (cell.write_time == now && !ordered(cell.writer, cell.write_warp_time))
      race("wrote", cell.writer);
  } else if (!writes && !memory.is_input && (is_shared || cell.write_time == 0)) {
    fail("uninitialised: thread %u reads %s, which nobody wrote", thread, place());
  }
  if (!writes) {
    // Readers that come before this one by a __syncwarp also come before whatever comes after it.
    const bool again = cell.read_time == now && !ordered(cell.reader, cell.read_warp_time);
    const bool one_warp = cell.reader != kSeveral && warp_of(cell.reader) == warp_of(thread);
    if (!again)
      cell.reader = thread;
    else
      cell.reader = one_warp ? static_cast<uint16_t>(kSeveralOfWarp + warp_of(thread)) : kSeveral;
    cell.read_time = now;
    cell.read_warp_time = warp_time;
    return;
  }
  if (cell.read_time >= since && cell.read_time < block_began)
    fail("race: thread %u writes %s, which another block read", thread, place());
  if (cell.read_time == now && !ordered(cell.reader, cell.read_warp_time))
    race("read", cell.reader);
  cell.writer = thread;
  cell.write_time = now;
  cell.write_warp_time = warp_time;
}

void check_memory(Memory& memory, uintptr_t address, size_t bytes, bool writes) {
  const char* accesses = writes ? "writes" : "reads";
  if (address + bytes > memory.end)
    fail("out of bounds: thread %u %s past the end of argument %s", thread_of(current), accesses,
         memory.name.c_str());
  if (writes && memory.is_input)
    fail("input written: thread %u writes to argument %s", thread_of(current), memory.name.c_str());
  const size_t first = (address - memory.start) / memory.grain;
  const size_t last = (address + bytes - 1 - memory.start) / memory.grain;
  for (size_t index = first; index <= last; ++index) check_cell(memory, index, writes);
}

void check_access(const void* pointer, size_t bytes, bool writes) {
  if (current == nullptr) return;
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const auto stack = reinterpret_cast<uintptr_t>(current->stack);
  if (address - stack < kStackBytes) return;
  const auto dynamic = reinterpret_cast<uintptr_t>(gaufuse::gaufuse_dynamic_shared);
  if (address - shared_memory.start < shared_memory.end - shared_memory.start) {
    if (address - dynamic < kMaxDynamicShared && address + bytes > dynamic + dynamic_bytes)
      fail("out of bounds: thread %u %s past the end of dynamic shared memory", thread_of(current),
           writes ? "writes" : "reads");
    return check_memory(shared_memory, address, bytes, writes);
  }
  for (Memory& memory : buffers)
    if (address - memory.start < memory.end - memory.start)
      return check_memory(memory, address, bytes, writes);
  if (!writes && address - host_stack < 65536) return;  // the parameters of the launch
  if (knows_buffers)
    fail("out of bounds: thread %u %s %zu bytes outside of every buffer", thread_of(current),
         writes ? "writes" : "reads", bytes);
}

}  // namespace

Index thread_index() { return Index{thread_of(current), 0, 0}; }
Index block_index() { return the_block; }
Index block_size() { return the_block_size; }
Index grid_size() { return the_grid_size; }

int meet_block(Vote vote, int value, Site site) {
  Fiber& mine = *current;
  mine.state = State::in_block_barrier;
  mine.site = site;
  mine.value = static_cast<uint64_t>(value);
  const unsigned threads = the_block_size.x;
  if (++in_barrier < threads) {
    switch_to_scheduler();
    return static_cast<int>(mine.value);
  }
  in_barrier = 0;
  unsigned count = 0;
  for (unsigned t = 0; t < threads; ++t) {
    char a[128], b[128];
    count += fibers[t].value != 0;
    if (!same_site(fibers[t].site, site))
      fail("divergent barrier: thread %u %s, thread %u %s", thread_of(current),
           describe(mine, a, sizeof(a)), t, describe(fibers[t], b, sizeof(b)));
  }
  ++now;
  const bool holds = vote == Vote::any ? count > 0 : count == threads;
  for (unsigned t = 0; t < threads; ++t) {
    fibers[t].state = State::ready;
    fibers[t].value = vote == Vote::count ? count : holds;
  }
  return static_cast<int>(mine.value);
}

void sync_warp(unsigned mask, Site site) { meet_warp(WarpOperation::sync, mask, 0, 0, site); }

unsigned ballot(unsigned mask, bool predicate, Site site) {
  return static_cast<unsigned>(meet_warp(WarpOperation::ballot, mask, predicate, 0, site));
}

uint64_t shuffle_bits(unsigned mask, uint64_t bits, int source, Site site) {
  return meet_warp(WarpOperation::shuffle, mask, bits, source, site);
}

int take_error() {
  const int code = error_code;
  error_code = 0;
  return code;
}

const char* error_message() { return error_text; }

void run_grid(unsigned blocks, unsigned threads, size_t shared_bytes, void (*kernel)(const void*),
              const void* context) {
  const std::lock_guard<std::mutex> lock(launch_mutex);
  error_code = 0;
  the_block = Index{0, 0, 0};
  if (blocks == 0 || threads == 0 || threads > kMaxThreads || shared_bytes > kMaxDynamicShared)
    return fail("no such launch: %u blocks of %u threads, %zu bytes of shared memory", blocks,
                threads, shared_bytes);
  dl_iterate_phdr(find_thread_locals, nullptr);
  for (unsigned t = 0; t < threads; ++t) {
    if (fibers[t].stack == nullptr) make_stack(fibers[t]);
    if (fibers[t].stack == nullptr) return fail("no memory for the fibers");
  }
  char here;
  host_stack = reinterpret_cast<uintptr_t>(&here);
  body = kernel;
  body_context = context;
  dynamic_bytes = shared_bytes;
  the_block_size = Index{threads, 1, 1};
  the_grid_size = Index{std::min(blocks, max_blocks), 1, 1};
  // What an earlier launch of the same call wrote stays written, and comes before this one.
  for (Memory& memory : buffers)
    memory.cells.resize((memory.end - memory.start) / memory.grain + 1);
  launch_began = ++now;
  for (unsigned b = 0; b < the_grid_size.x && error_code == 0; ++b) {
    the_block.x = b;
    run_block(threads);
  }
}

}  // namespace cuda_emulation

// What Python sets before a launch.
#define EMULATION_EXPORT extern "C" __attribute__((visibility("default")))

EMULATION_EXPORT void emulation_set(int schedule, uint64_t seed, unsigned max_blocks) {
  cuda_emulation::schedule = schedule;
  cuda_emulation::random_state = seed * 2 + 1;
  cuda_emulation::max_blocks = max_blocks;
}

EMULATION_EXPORT void emulation_forget_buffers() {
  cuda_emulation::buffers.clear();
  cuda_emulation::knows_buffers = true;
}

EMULATION_EXPORT void emulation_add_buffer(uintptr_t start, size_t bytes, size_t grain,
                                           bool is_input, const char* name) {
  cuda_emulation::buffers.push_back({start, start + bytes, grain, is_input, name, {}});
}

// Calls that g++ -fsanitize=thread puts before accesses to memory.
#define EMULATION_HOOKS(bytes)                                                                   \
  extern "C" void __tsan_read##bytes(void* p) { cuda_emulation::check_access(p, bytes, false); } \
  extern "C" void __tsan_write##bytes(void* p) { cuda_emulation::check_access(p, bytes, true); } \
  extern "C" void __tsan_unaligned_read##bytes(void* p) {                                        \
    cuda_emulation::check_access(p, bytes, false);                                               \
  }                                                                                              \
  extern "C" void __tsan_unaligned_write##bytes(void* p) {                                       \
    cuda_emulation::check_access(p, bytes, true);                                                \
  }

EMULATION_HOOKS(1)
EMULATION_HOOKS(2)
EMULATION_HOOKS(4)
EMULATION_HOOKS(8)
EMULATION_HOOKS(16)

extern "C" void __tsan_read_range(void* p, size_t bytes) {
  cuda_emulation::check_access(p, bytes, false);
}
extern "C" void __tsan_write_range(void* p, size_t bytes) {
  cuda_emulation::check_access(p, bytes, true);
}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}
