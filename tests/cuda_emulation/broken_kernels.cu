// One kernel for every fault that the emulator must find, and one without: it must find none there.
#include "cuda/launch.cuh"

namespace gaufuse {
namespace {

struct Arguments {
  const int* input;  // (64,)
  int* output;       // (64,)
};

__global__ void sound(Arguments a) {
  __shared__ int shared[64];
  shared[threadIdx.x] = a.input[threadIdx.x];
  __syncthreads();
  int sum = shared[63 - threadIdx.x];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(kFullWarp, sum, offset);
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x] = sum;
  __syncwarp();
  const int first = shared[threadIdx.x / 32 * 32];
  __syncwarp();
  // Every lane has read it, and this one reads it again.
  if (threadIdx.x % 32 == 0) shared[threadIdx.x] += first;
  a.output[threadIdx.x] = first;
}

__global__ void barrier_skipped(Arguments a) {
  if (a.input[threadIdx.x] == 40) return;
  __syncthreads();
  a.output[threadIdx.x] = 1;
}

__global__ void barriers_differ(Arguments a) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  a.output[threadIdx.x] = 1;
}

__global__ void lane_has_ended(Arguments a) {
  if (threadIdx.x == 5) return;
  a.output[threadIdx.x] = __shfl_sync(kFullWarp, a.input[threadIdx.x], 0);
}

__global__ void lane_is_elsewhere(Arguments a) {
  if (threadIdx.x == 5) __syncthreads();
  a.output[threadIdx.x] = static_cast<int>(__ballot_sync(kFullWarp, a.input[threadIdx.x] > 3));
}

__global__ void lane_is_not_named(Arguments a) {
  a.output[threadIdx.x] = __shfl_sync(0x0000ffffu, a.input[threadIdx.x], 0);
}

__global__ void race_in_shared_memory(Arguments a) {
  __shared__ int shared[64];
  shared[threadIdx.x] = 0;
  __syncthreads();
  shared[threadIdx.x] = a.input[threadIdx.x];
  a.output[threadIdx.x] = shared[63 - threadIdx.x];
}

// The first round's readers against the second round's writer: one barrier too few.
__global__ void race_of_two_rounds(Arguments a) {
  __shared__ int shared;
  for (int round = 0; round < 2; ++round) {
    if (threadIdx.x == 0) shared = round;
    __syncthreads();
    a.output[threadIdx.x] = shared;
  }
}

// A shuffle orders lanes, but not their accesses to memory.
__global__ void race_within_a_warp(Arguments a) {
  __shared__ int shared[2];
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = a.input[threadIdx.x];
  __shfl_sync(kFullWarp, 0, 0);
  a.output[threadIdx.x] = shared[threadIdx.x / 32];
}

// Lanes of two warps read, but only one of the warps is ordered before the write.
__global__ void race_after_a_warps_barrier(Arguments a) {
  __shared__ int shared;
  if (threadIdx.x == 0) shared = a.input[0];
  __syncthreads();
  a.output[threadIdx.x] = shared;
  __syncwarp();
  if (threadIdx.x == 0 || threadIdx.x == 63) shared = 0;
}

__global__ void race_of_blocks(Arguments a) {
  a.output[threadIdx.x] = static_cast<int>(blockIdx.x);
}

__global__ void shared_memory_not_written(Arguments a) {
  __shared__ int shared[64];
  if (threadIdx.x != 7) shared[threadIdx.x] = 0;
  __syncthreads();
  a.output[threadIdx.x] = shared[threadIdx.x];
}

__global__ void output_not_written(Arguments a) { a.output[threadIdx.x] += 1; }

__global__ void input_written(Arguments a) { const_cast<int*>(a.input)[threadIdx.x] = 1; }

__global__ void reads_past_the_end(Arguments a) {
  a.output[threadIdx.x] = a.input[threadIdx.x + 1];
}

__global__ void writes_before_the_start(Arguments a) {
  a.output[static_cast<int>(threadIdx.x) - 1] = a.input[threadIdx.x];
}

__global__ void dynamic_memory_too_small(Arguments a) {
  int* shared = dynamic_shared<int>();  // the launch gives 4 ints
  if (threadIdx.x < 5) shared[threadIdx.x] = 0;
  a.output[threadIdx.x] = 0;
}

struct Entry {
  const char* name;
  void (*kernel)(Arguments);
};

#define ENTRY(kernel) \
  Entry { #kernel, kernel }

const Entry kEntries[] = {
    ENTRY(sound),
    ENTRY(barrier_skipped),
    ENTRY(barriers_differ),
    ENTRY(lane_has_ended),
    ENTRY(lane_is_elsewhere),
    ENTRY(lane_is_not_named),
    ENTRY(race_in_shared_memory),
    ENTRY(race_of_two_rounds),
    ENTRY(race_within_a_warp),
    ENTRY(race_after_a_warps_barrier),
    ENTRY(race_of_blocks),
    ENTRY(shared_memory_not_written),
    ENTRY(output_not_written),
    ENTRY(input_written),
    ENTRY(reads_past_the_end),
    ENTRY(writes_before_the_start),
    ENTRY(dynamic_memory_too_small),
};

}  // namespace
}  // namespace gaufuse

// Runs a kernel in `blocks` blocks of 64 threads; returns what is wrong with it, or null.
extern "C" __attribute__((visibility("default"))) const char* run_broken_kernel(const char* name,
                                                                                unsigned blocks,
                                                                                const int* input,
                                                                                int* output) {
  using namespace gaufuse;
  for (const Entry& entry : kEntries) {
    if (std::strcmp(entry.name, name) != 0) continue;
    launch_kernel(entry.kernel, blocks, 64, 4 * sizeof(int), nullptr, Arguments{input, output});
    const cudaError_t error = cudaGetLastError();
    return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
  }
  return "no such kernel";
}
