// What the kernels in csrc/cuda use of CUDA, for g++: they run thread by thread on the CPU, so that
// tests/test_cuda_emulated.py can test them where there is no GPU. See emulator.h.
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>

#include "emulator.h"

#define __global__
// Inlined, or a function that returns a struct would write it to its place without the calls that
// -fsanitize=thread puts before writes.
#define __device__ __attribute__((always_inline))
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block runs at a time, in one thread of the CPU: variables of that thread lie apart from all
// others. The emulator reports what a block reads before it has written it.
#define __shared__ thread_local
#define __align__(bytes) __attribute__((aligned(bytes)))

#define threadIdx (cuda_emulation::thread_index())
#define blockIdx (cuda_emulation::block_index())
#define blockDim (cuda_emulation::block_size())
#define gridDim (cuda_emulation::grid_size())

// Where a call stands: meeting points match by it, and messages name it.
#define EMULATED_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMULATED_SITE) {
  cuda_emulation::meet_block(cuda_emulation::Vote::none, 0, {"__syncthreads", file, line});
}
inline int __syncthreads_or(int predicate, EMULATED_SITE) {
  return cuda_emulation::meet_block(cuda_emulation::Vote::any, predicate != 0,
                                    {"__syncthreads_or", file, line});
}
inline int __syncthreads_and(int predicate, EMULATED_SITE) {
  return cuda_emulation::meet_block(cuda_emulation::Vote::all, predicate != 0,
                                    {"__syncthreads_and", file, line});
}
inline int __syncthreads_count(int predicate, EMULATED_SITE) {
  return cuda_emulation::meet_block(cuda_emulation::Vote::count, predicate != 0,
                                    {"__syncthreads_count", file, line});
}

inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATED_SITE) {
  cuda_emulation::sync_warp(mask, {"__syncwarp", file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATED_SITE) {
  return cuda_emulation::ballot(mask, predicate != 0, {"__ballot_sync", file, line});
}
inline int __any_sync(unsigned mask, int predicate, EMULATED_SITE) {
  return cuda_emulation::ballot(mask, predicate != 0, {"__any_sync", file, line}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMULATED_SITE) {
  return cuda_emulation::ballot(mask, predicate != 0, {"__all_sync", file, line}) == mask;
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, EMULATED_SITE) {
  return cuda_emulation::shuffle(mask, value, lane % 32, {"__shfl_sync", file, line});
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned offset, EMULATED_SITE) {
  const int source = static_cast<int>(threadIdx.x % 32 + offset);
  return cuda_emulation::shuffle(mask, value, source, {"__shfl_down_sync", file, line});
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned offset, EMULATED_SITE) {
  const int source = static_cast<int>(threadIdx.x % 32) - static_cast<int>(offset);
  return cuda_emulation::shuffle(mask, value, source, {"__shfl_up_sync", file, line});
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, EMULATED_SITE) {
  const int source = static_cast<int>(threadIdx.x % 32) ^ lanes;
  return cuda_emulation::shuffle(mask, value, source, {"__shfl_xor_sync", file, line});
}

#undef EMULATED_SITE

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }

// A launch that the emulator found fault with is an error whose string says what the fault is.
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
struct dim3 {
  explicit dim3(unsigned size) : x(size) {}
  unsigned x;
};
using cudaStream_t = void*;

template <typename... Params>
void cudaLaunchKernel(void (*kernel)(Params...), dim3 grid, dim3 block, void** arguments,
                      size_t shared_bytes, cudaStream_t /*stream*/) {
  cuda_emulation::launch(kernel, grid.x, block.x, arguments, shared_bytes);
}

inline cudaError_t cudaGetLastError() { return cuda_emulation::take_error(); }
inline const char* cudaGetErrorString(cudaError_t) { return cuda_emulation::error_message(); }
