// Runs CUDA kernels on the CPU, deterministically, and reports what a GPU would leave undefined.
//
// - A thread of a block is a fiber; the blocks of a grid run one after the other. Barriers and warp
//   operations are meeting points. Where no fiber can go on, the launch fails and says who waits
//   where for whom: a barrier that not all threads of the block reach, a lane that is named in a
//   mask and takes no part.
// - The kernels are compiled with -fsanitize=thread, of which only the calls before every access to
//   memory are used: the functions that they call are the emulator's. It knows the buffers of the
//   launch and reports accesses outside of them, writes to inputs, reads of what nobody wrote (in
//   outputs, workspaces and shared memory), and races: two accesses to one place, at least one a
//   write, by two threads with no barrier in between, or by two blocks. (A shuffle or a ballot is
//   no barrier to memory; __syncwarp is one to its warp.)
// - A kernel with a fault stops at it: no access out of bounds is carried out.
// - The order in which fibers run is chosen (Schedule): a correct kernel gives the same bits in
// all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

namespace cuda_emulation {

struct Index {
  unsigned x, y, z;
};

struct Site {
  const char* operation;
  const char* file;
  int line;
};

enum class Vote { none, any, all, count };

// const: the same for as long as a fiber runs.
__attribute__((const)) Index thread_index();
__attribute__((const)) Index block_index();
__attribute__((const)) Index block_size();
__attribute__((const)) Index grid_size();

int meet_block(Vote vote, int value, Site site);
void sync_warp(unsigned mask, Site site);
unsigned ballot(unsigned mask, bool predicate, Site site);
// The bits of the source lane's value; outside of the warp, one's own.
uint64_t shuffle_bits(unsigned mask, uint64_t bits, int source, Site site);

template <typename T>
T shuffle(unsigned mask, T value, int source, Site site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles 32 or 64 bits");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle_bits(mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

int take_error();
const char* error_message();

void run_grid(unsigned blocks, unsigned threads, size_t shared_bytes, void (*body)(const void*),
              const void* context);

template <typename... Params>
struct Call {
  void (*kernel)(Params...);
  std::tuple<Params...> params;

  static void run(const void* context) {
    const Call& call = *static_cast<const Call*>(context);
    std::apply(call.kernel, call.params);
  }
};

template <typename... Params, size_t... I>
Call<Params...> make_call(void (*kernel)(Params...), void** arguments, std::index_sequence<I...>) {
  return {kernel, std::tuple<Params...>(*static_cast<Params*>(arguments[I])...)};
}

template <typename... Params>
void launch(void (*kernel)(Params...), unsigned blocks, unsigned threads, void** arguments,
            size_t shared_bytes) {
  const auto call = make_call(kernel, arguments, std::index_sequence_for<Params...>());
  run_grid(blocks, threads, shared_bytes, &Call<Params...>::run, &call);
}

}  // namespace cuda_emulation
