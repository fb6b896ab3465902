#include "cuda/launch.cuh"
#include "gaufuse/groups.h"
#include "gaufuse/interval_membership.h"

namespace gaufuse {
namespace {

constexpr int kBlock = 128;

// One block per row: the row's bounds are worked out once, then written out coalesced.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    interval_membership_kernel(const IntervalMembershipParams<T> params) {
  __shared__ MembershipRow shared_row;
  const int64_t rows = params.groups * params.capacity;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const int64_t group = r / params.capacity;
    const bool valid = r % params.capacity < valid_count(params.counts, group, params.capacity);
    if (threadIdx.x == 0 && valid)
      shared_row = make_membership_row(static_cast<double>(params.segments[2 * r]),
                                       static_cast<double>(params.segments[2 * r + 1]),
                                       valid_count(params.lengths, group, params.num_snippets),
                                       params.margin, params.margin_power, params.mode);
    __syncthreads();
    T* out = params.matrix + r * params.num_snippets;
    for (int64_t t = threadIdx.x; t < params.num_snippets; t += kBlock)
      out[t] = valid ? static_cast<T>(membership_value(shared_row, t)) : T(0);
    __syncthreads();
  }
}

}  // namespace

template <typename T>
Status interval_membership_cuda(const IntervalMembershipParams<T>& params, void* stream) {
  const int64_t rows = params.groups * params.capacity;
  if (rows * params.num_snippets == 0) return Status();
  launch_kernel(interval_membership_kernel<T>, grid_for(rows), kBlock, 0, stream, params);
  return launch_status("interval_membership");
}

template Status interval_membership_cuda(const IntervalMembershipParams<float>&, void*);
template Status interval_membership_cuda(const IntervalMembershipParams<double>&, void*);

}  // namespace gaufuse
