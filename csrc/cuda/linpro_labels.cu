#include "cuda/launch.cuh"
#include "gaufuse/linpro_group.h"

namespace gaufuse {
namespace {

constexpr int kBlock = 64;

template <typename T>
__global__ void __launch_bounds__(256) clear_labels_kernel(T* labels, int64_t size) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += stride)
    labels[i] = T(0);
}

// A thread per group, with the CPU's own code on the thread's part of the workspace: components are
// small programs of a few dozen pivots, and thousands of groups fill the device. What does not fit
// is left unsolved.
template <typename T>
__global__ void __launch_bounds__(kBlock) linpro_labels_kernel(const LinproLabelsParams<T> params) {
  const int64_t worker = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (worker >= params.workers) return;
  char* memory = params.workspace + worker * params.worker_bytes;
  LinproInstance* instances = reinterpret_cast<LinproInstance*>(memory);
  const int64_t taken = params.capacity * static_cast<int64_t>(sizeof(LinproInstance));
  const auto lend = [=](int64_t needed) {
    return Arena{memory + taken, needed > 0 ? 0 : params.worker_bytes - taken, 0};
  };
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kBlock;
  const int64_t stride = threads < params.workers ? threads : params.workers;
  for (int64_t group = worker; group < params.groups; group += stride)
    LinproGroup<T, decltype(lend)>{params, group, instances, lend}.run();
}

}  // namespace

template <typename T>
Status linpro_labels_cuda(const LinproLabelsParams<T>& params, void* stream) {
  if (params.groups == 0) return Status();
  const int64_t size = params.groups * params.num_snippets;
  if (size > 0) {
    const int64_t blocks = (size + 1023) / 1024;  // four labels a thread
    launch_kernel(clear_labels_kernel<T>, grid_for(blocks), 256, 0, stream, params.labels, size);
  }
  launch_kernel(linpro_labels_kernel<T>, grid_for((params.workers + kBlock - 1) / kBlock), kBlock,
                0, stream, params);
  return launch_status("linpro_labels");
}

template Status linpro_labels_cuda(const LinproLabelsParams<float>&, void*);
template Status linpro_labels_cuda(const LinproLabelsParams<double>&, void*);

}  // namespace gaufuse
