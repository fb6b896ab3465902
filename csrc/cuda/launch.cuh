// Launch helpers. Launches are asynchronous on the caller's stream; nothing here synchronises.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

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

// kernel<<<blocks, threads, shared_bytes, stream>>>(params...), without the syntax that is nvcc's
// own: g++ compiles the kernels, too (tests/cuda_emulation).
template <typename... Params>
void launch_kernel(void (*kernel)(Params...), unsigned blocks, unsigned threads,
                   size_t shared_bytes, void* stream, std::common_type_t<Params>... params) {
  void* arguments[] = {&params...};
  cudaLaunchKernel(kernel, dim3(blocks), dim3(threads), arguments, shared_bytes,
                   static_cast<cudaStream_t>(stream));  // launch_status() tells how it went
}

// The shared_bytes of the launch, as an array of T.
template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char gaufuse_dynamic_shared[];
  return reinterpret_cast<T*>(gaufuse_dynamic_shared);
}

}  // namespace gaufuse
