#include <cub/block/block_scan.cuh>

#include "cuda/launch.cuh"
#include "gaufuse/groups.h"
#include "gaufuse/threshold_proposals.h"

namespace gaufuse {
namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / 32;

// Step 1: prefix sums of the sequence, a tile of kBlock snippets at a time.
template <typename T>
__device__ void write_prefix(const T* cas, int64_t size, double* prefix) {
  using Scan = cub::BlockScan<double, kBlock>;
  __shared__ typename Scan::TempStorage storage;
  double carry = 0.0;
  if (threadIdx.x == 0) prefix[0] = 0.0;
  for (int64_t base = 0; base < size; base += kBlock) {
    const int64_t t = base + threadIdx.x;
    double value = t < size ? static_cast<double>(cas[t]) : 0.0;
    double tile_sum;
    Scan(storage).InclusiveSum(value, value, tile_sum);
    if (t < size) prefix[t + 1] = carry + value;
    carry += tile_sum;
    __syncthreads();
  }
}

// A warp walks the sequence in tiles of 32 snippets and calls found(start, end, rank) on the lane
// where a run of cas > threshold ends; rank counts the warp's runs of at least min_length so far.
// Returns their number.
template <typename T, typename Found>
__device__ int64_t walk_runs(const T* cas, int64_t size, double threshold, int64_t min_length,
                             Found found) {
  const int lane = threadIdx.x % 32;
  const unsigned lanes_below = (1u << lane) - 1u;
  unsigned last = 0;       // was the snippet before this tile inside a run?
  int64_t open_start = 0;  // where the run that reaches into this tile began
  int64_t runs = 0;
  for (int64_t base = 0; base <= size; base += 32) {  // <=: a run may end at the very end
    const int64_t t = base + lane;
    const bool above = t<size&& static_cast<double>(cas[t])> threshold;
    const unsigned bits = __ballot_sync(kFullWarp, above);
    const unsigned before = (bits << 1) | last;
    const unsigned starts = bits & ~before;
    const unsigned ends = ~bits & before;
    const unsigned starts_below = starts & lanes_below;
    const int64_t start = starts_below != 0u ? base + 31 - __clz(starts_below) : open_start;
    const bool is_run = ((ends >> lane) & 1u) != 0u && t - start >= min_length;
    const unsigned found_bits = __ballot_sync(kFullWarp, is_run);
    if (is_run) found(start, t, runs + __popc(found_bits & lanes_below));
    runs += __popc(found_bits);
    if (starts != 0u) open_start = base + 31 - __clz(starts);
    last = bits >> 31;
  }
  return runs;
}

// One block per group: (1) prefix sums, (2) each warp counts the runs of its thresholds, (3) the
// counts give each threshold its first slot, (4) the warps walk again and write, (5) padding.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    threshold_proposals_kernel(const ThresholdProposalsParams<T> params) {
  int64_t* first_slot = dynamic_shared<int64_t>();  // (num_thresholds + 1,)
  const int warp = threadIdx.x / 32;
  for (int64_t group = blockIdx.x; group < params.groups; group += gridDim.x) {
    const T* cas = params.cas + group * params.num_snippets;
    const int64_t size = valid_count(params.lengths, group, params.num_snippets);
    double* prefix = params.workspace + group * (params.num_snippets + 1);
    const double* thresholds =
        params.thresholds + (params.thresholds_per_group ? group * params.num_thresholds : 0);
    write_prefix(cas, size, prefix);

    for (int64_t h = warp; h < params.num_thresholds; h += kWarps) {
      const int64_t runs =
          walk_runs(cas, size, thresholds[h], params.min_length, [](int64_t, int64_t, int64_t) {});
      if (threadIdx.x % 32 == 0) first_slot[h + 1] = runs;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      first_slot[0] = 0;
      for (int64_t h = 0; h < params.num_thresholds; ++h) first_slot[h + 1] += first_slot[h];
    }
    __syncthreads();

    T* segments = params.segments + 2 * group * params.capacity;
    T* scores = params.scores + group * params.capacity;
    T* weights = params.weights + group * params.capacity;
    for (int64_t h = warp; h < params.num_thresholds; h += kWarps) {
      const int64_t first = first_slot[h];
      walk_runs(cas, size, thresholds[h], params.min_length,
                [&](int64_t start, int64_t end, int64_t rank) {
                  const int64_t slot = first + rank;
                  if (slot >= params.capacity) return;
                  const double reach = ring_reach(end - start, params.margin, params.margin_power);
                  const Contrast contrast = outer_inner_contrast(prefix, start, end, size, reach);
                  segments[2 * slot] = static_cast<T>(start);
                  segments[2 * slot + 1] = static_cast<T>(end + 1);
                  scores[slot] = static_cast<T>(contrast.score);
                  weights[slot] = static_cast<T>(contrast.inner);
                });
    }

    const int64_t found = first_slot[params.num_thresholds];
    const int64_t count = found < params.capacity ? found : params.capacity;
    if (threadIdx.x == 0) params.counts[group] = count;
    for (int64_t k = count + threadIdx.x; k < params.capacity; k += kBlock) {
      segments[2 * k] = T(0);
      segments[2 * k + 1] = T(0);
      scores[k] = T(0);
      weights[k] = T(0);
    }
    __syncthreads();  // before the next group's counts overwrite first_slot
  }
}

}  // namespace

template <typename T>
Status threshold_proposals_cuda(const ThresholdProposalsParams<T>& params, void* stream) {
  constexpr int64_t kMaxThresholds = 4096;
  if (params.num_thresholds > kMaxThresholds)
    return make_status(
        Code::invalid_argument, "thresholds must hold at most %lld values on CUDA, got %lld",
        static_cast<long long>(kMaxThresholds), static_cast<long long>(params.num_thresholds));
  if (params.groups == 0) return Status();
  const size_t shared_bytes = static_cast<size_t>(params.num_thresholds + 1) * sizeof(int64_t);
  launch_kernel(threshold_proposals_kernel<T>, grid_for(params.groups), kBlock, shared_bytes,
                stream, params);
  return launch_status("threshold_proposals");
}

template Status threshold_proposals_cuda(const ThresholdProposalsParams<float>&, void*);
template Status threshold_proposals_cuda(const ThresholdProposalsParams<double>&, void*);

}  // namespace gaufuse
