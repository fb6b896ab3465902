// Launch helpers. Launches are asynchronous on the caller's stream; nothing here synchronises.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "gaufuse/status.h"

namespace gaufuse {

constexpr unsigned kFullWarp = 0xffffffffu;
constexpr int64_t kMaxGrid = 2147483647;

inline Status launch_status(const char* kernel) {
  const cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return Status();
  return make_status(Code::cuda_error, "%s failed to launch: %s (CUDA error %d)", kernel,
                     cudaGetErrorString(error), static_cast<int>(error));
}

inline unsigned grid_for(int64_t blocks) {
  return static_cast<unsigned>(blocks < 1 ? 1 : (blocks < kMaxGrid ? blocks : kMaxGrid));
}

// Greedy kernels give a group to one block: a warp for small groups, more for large ones.
template <typename Launch>
void dispatch_block_size(int64_t capacity, Launch launch) {
  if (capacity <= 64)
    launch(std::integral_constant<int, 32>());
  else if (capacity <= 1024)
    launch(std::integral_constant<int, 128>());
  else
    launch(std::integral_constant<int, 512>());
}

}  // namespace gaufuse
