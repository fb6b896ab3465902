#include "cuda/launch.cuh"
#include "cuda/wide_stores.cuh"
#include "gaufuse/groups.h"
#include "gaufuse/interval_membership.h"

namespace gaufuse {
namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / 32;
// A warp writes about so many elements: rows of long sequences are shared out one by one, of short
// ones as many as 32 together, the bounds of which (a power each) its lanes work out side by side.
constexpr int64_t kWarpElements = 4096;

// A row as it is written: snippets in 32 bits and values as stored, for few instructions a value.
template <typename T>
struct Row {
  struct Range {
    unsigned start;
    unsigned size;

    __device__ bool holds(unsigned snippet) const { return snippet - start < size; }
  };

  Range inside, left, right;
  T inside_value, ring_value;

  __device__ T operator()(int64_t at) const {
    const auto snippet = static_cast<unsigned>(at);
    if (left.holds(snippet) || right.holds(snippet)) return ring_value;
    return inside.holds(snippet) ? inside_value : T(0);
  }
};

template <typename T>
__device__ Row<T> make_row(const MembershipRow& row) {
  const auto range = [](SnippetRange r) {
    return typename Row<T>::Range{static_cast<unsigned>(r.start), static_cast<unsigned>(r.size())};
  };
  return Row<T>{range(row.inside), range(row.ring.left), range(row.ring.right),
                static_cast<T>(row.inside_value), static_cast<T>(row.ring_value)};
}

// (1) Each lane works out a row; (2) the warp writes them one after the other, 16 bytes a lane.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    interval_membership_kernel(const IntervalMembershipParams<T> params, int warp_rows) {
  __shared__ Row<T> shared[kBlock];
  Row<T>* rows = shared + threadIdx.x / 32 * 32;
  const int lane = threadIdx.x % 32;
  const int64_t total = params.groups * params.capacity;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps * warp_rows;
  const int64_t own = (static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32) * warp_rows;
  for (int64_t first = own; first < total; first += stride) {
    const int here = total - first < warp_rows ? static_cast<int>(total - first) : warp_rows;
    if (lane < here) {
      const int64_t r = first + lane;
      const int64_t group = r / params.capacity;
      const bool valid = r % params.capacity < valid_count(params.counts, group, params.capacity);
      MembershipRow row{};  // zeros
      if (valid)
        row = make_membership_row(static_cast<double>(params.segments[2 * r]),
                                  static_cast<double>(params.segments[2 * r + 1]),
                                  valid_count(params.lengths, group, params.num_snippets),
                                  params.margin, params.margin_power, params.mode);
      rows[lane] = make_row<T>(row);
    }
    __syncwarp();
    for (int i = 0; i < here; ++i) {
      const Row<T> row = rows[i];
      store_wide(params.matrix + (first + i) * params.num_snippets, params.num_snippets, lane, 32,
                 row);
    }
    __syncwarp();  // before the next rows overwrite these
  }
}

}  // namespace

template <typename T>
Status interval_membership_cuda(const IntervalMembershipParams<T>& params, void* stream) {
  const int64_t rows = params.groups * params.capacity;
  if (rows * params.num_snippets == 0) return Status();
  constexpr int64_t kMostSnippets = int64_t{1} << 31;
  if (params.num_snippets >= kMostSnippets)
    return make_status(
        Code::invalid_argument, "num_snippets must be less than %lld on CUDA, got %lld",
        static_cast<long long>(kMostSnippets), static_cast<long long>(params.num_snippets));
  const int64_t fit = kWarpElements / params.num_snippets;
  const int warp_rows = fit < 1 ? 1 : (fit > 32 ? 32 : static_cast<int>(fit));
  const int64_t block_rows = int64_t{kWarps} * warp_rows;
  launch_kernel(interval_membership_kernel<T>, grid_for((rows + block_rows - 1) / block_rows),
                kBlock, 0, stream, params, warp_rows);
  return launch_status("interval_membership");
}

template Status interval_membership_cuda(const IntervalMembershipParams<float>&, void*);
template Status interval_membership_cuda(const IntervalMembershipParams<double>&, void*);

}  // namespace gaufuse
