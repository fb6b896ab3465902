#include <type_traits>

#include "cuda/block_reduce.cuh"
#include "cuda/launch.cuh"
#include "gaufuse/fuse_segments.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

// Sums of a cluster, weighted by exp((weight - largest) / temperature) for the largest weight seen
// so far: members and partial sums merge in any order without overflow.
struct ClusterSums {
  double largest;
  double total;
  double start;
  double end;
  double score;
};

struct MergeSums {
  double temperature;

  __device__ ClusterSums operator()(const ClusterSums& a, const ClusterSums& b) const {
    if (a.total == 0.0) return b;
    if (b.total == 0.0) return a;
    const double largest = a.largest > b.largest ? a.largest : b.largest;
    const double scale_a = exp((a.largest - largest) / temperature);
    const double scale_b = exp((b.largest - largest) / temperature);
    return ClusterSums{largest, a.total * scale_a + b.total * scale_b,
                       a.start * scale_a + b.start * scale_b, a.end * scale_a + b.end * scale_b,
                       a.score * scale_a + b.score * scale_b};
  }
};

// One block per group. No sort and no N x N mask: each round takes the best remaining segment as
// the seed and, in one pass over the group, (1) claims the seed's members and sums them, (2) finds
// the best of those left over, which is the next round's seed. assignment doubles as the alive
// mark; thread t only ever touches segments t, t + BLOCK, ..., so it needs no barrier.
template <typename T, int BLOCK>
__global__ void __launch_bounds__(BLOCK) fuse_segments_kernel(const FuseSegmentsParams<T> params) {
  __shared__ Best shared_best[BLOCK / 32 + 1];
  __shared__ ClusterSums shared_sums[BLOCK / 32 + 1];
  const MergeSums merge_sums{params.temperature};

  for (int64_t group = blockIdx.x; group < params.groups; group += gridDim.x) {
    const int64_t count = valid_count(params.counts, group, params.capacity);
    const T* segments = params.segments + 2 * group * params.capacity;
    const T* scores = params.scores + group * params.capacity;
    const T* weights = params.weights + group * params.capacity;
    T* fused_segments = params.fused_segments + 2 * group * params.capacity;
    T* fused_scores = params.fused_scores + group * params.capacity;
    int64_t* assignment = params.assignment + group * params.capacity;
    T* shares = params.shares + group * params.capacity;

    Best mine = no_segment();
    for (int64_t j = threadIdx.x; j < params.capacity; j += BLOCK) {
      assignment[j] = -1;
      shares[j] = T(0);
      if (j < count) mine = better(mine, Best{static_cast<double>(scores[j]), j});
    }
    Best seed = block_reduce<BLOCK>(mine, shared_best, MergeBest());

    int64_t cluster = 0;
    for (; seed.index >= 0; ++cluster) {
      const Segment pivot{static_cast<double>(segments[2 * seed.index]),
                          static_cast<double>(segments[2 * seed.index + 1])};
      ClusterSums sums{0.0, 0.0, 0.0, 0.0, 0.0};
      mine = no_segment();
      for (int64_t j = threadIdx.x; j < count; j += BLOCK) {
        if (assignment[j] >= 0) continue;
        const Segment candidate{static_cast<double>(segments[2 * j]),
                                static_cast<double>(segments[2 * j + 1])};
        const double score = static_cast<double>(scores[j]);
        const bool member =
            j == seed.index || segment_overlap(pivot, candidate, params.overlap,
                                               params.length_offset) > params.threshold;
        if (member) {
          assignment[j] = cluster;
          sums = merge_sums(
              sums, ClusterSums{static_cast<double>(weights[j]), 1.0, candidate.start * kHeadroom,
                                candidate.end * kHeadroom, score * kHeadroom});
        } else {
          mine = better(mine, Best{score, j});
        }
      }
      const bool claimed = sums.total > 0.0;
      seed = block_reduce<BLOCK>(mine, shared_best, MergeBest());
      sums = block_reduce<BLOCK>(sums, shared_sums, merge_sums);
      if (threadIdx.x == 0) {
        fused_segments[2 * cluster] = static_cast<T>(sums.start / sums.total / kHeadroom);
        fused_segments[2 * cluster + 1] = static_cast<T>(sums.end / sums.total / kHeadroom);
        fused_scores[cluster] = static_cast<T>(sums.score / sums.total / kHeadroom);
      }
      if (!claimed) continue;
      for (int64_t j = threadIdx.x; j < count; j += BLOCK) {
        if (assignment[j] != cluster) continue;
        const double excess = static_cast<double>(weights[j]) - sums.largest;
        shares[j] = static_cast<T>(exp(excess / params.temperature) / sums.total);
      }
    }

    if (threadIdx.x == 0) params.fused_counts[group] = cluster;
    for (int64_t k = cluster + threadIdx.x; k < params.capacity; k += BLOCK) {
      fused_segments[2 * k] = T(0);
      fused_segments[2 * k + 1] = T(0);
      fused_scores[k] = T(0);
    }
  }
}

}  // namespace

template <typename T>
Status fuse_segments_cuda(const FuseSegmentsParams<T>& params, void* stream) {
  if (params.groups == 0) return Status();
  dispatch_block_size(params.capacity, [&](auto block) {
    launch_kernel(fuse_segments_kernel<T, block.value>, grid_for(params.groups), block.value, 0,
                  stream, params);
  });
  return launch_status("fuse_segments");
}

template Status fuse_segments_cuda(const FuseSegmentsParams<float>&, void*);
template Status fuse_segments_cuda(const FuseSegmentsParams<double>&, void*);

}  // namespace gaufuse
