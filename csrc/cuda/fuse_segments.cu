#include "cuda/for_each_group.cuh"
#include "cuda/wide_stores.cuh"
#include "gaufuse/exp_negative.h"
#include "gaufuse/fuse_segments.h"

namespace gaufuse {
namespace {

// Sums of a cluster, weighted by exp((weight - largest) / temperature) for its largest weight.
struct ClusterSums {
  double total;
  double start;
  double end;
  double score;
};

// What the threads of a team tell each other in a round.
struct Round {
  Best next;           // the next cluster's seed
  double largest;      // weight of this cluster
  ClusterSums before;  // of the cluster before this one
};

struct MergeRounds {
  __device__ Round operator()(const Round& a, const Round& b) const {
    return Round{better(a.next, b.next),
                 a.largest > b.largest ? a.largest : b.largest,
                 {a.before.total + b.before.total, a.before.start + b.before.start,
                  a.before.end + b.before.end, a.before.score + b.before.score}};
  }
};

// No sort and no N x N mask: each round takes the best remaining segment as the seed and, in one
// pass over what remains, (1) claims the seed's members and (2) finds the best of those left over,
// the next seed. Sums need the cluster's largest weight first; they are made a round later, so that
// one reduction a round does for everything.
template <typename T, typename Items, typename Group>
__device__ void fuse_group(const FuseSegmentsParams<T>& params, int64_t group, int64_t count,
                           Group& team) {
  const int64_t first = group * params.capacity;
  const T* segments = params.segments + 2 * first;
  const T* scores = params.scores + first;
  const T* weights = params.weights + first;
  T* fused_segments = params.fused_segments + 2 * first;
  T* fused_scores = params.fused_scores + first;
  int64_t* assignment = params.assignment + first;
  T* shares = params.shares + first;
  const auto relative_weight = [&](int64_t j, double largest) {
    return exp_negative((static_cast<double>(weights[j]) - largest) / params.temperature);
  };

  const OverlapTest joins{params.overlap, params.length_offset, 0.0, params.threshold, true};

  Items items(team.rank(), segments, scores, count,
              large_workspace(params.workspace, params.capacity));
  const Round nothing{no_segment(), -INFINITY, {0.0, 0.0, 0.0, 0.0}};
  Round mine = nothing;
  mine.next = best_of(items);
  Round round = team.reduce(mine, MergeRounds());

  int64_t cluster = 0;
  for (;; ++cluster) {  // the last round only finishes the last cluster
    const Best seed = round.next;
    const double largest = round.largest;  // of the cluster before
    mine = nothing;
    items.each_dropped(0, [&](int64_t j) {
      const double weight = relative_weight(j, largest);
      const double part = weight * kHeadroom;
      const Segment segment = load_segment(segments, j);
      mine.before.total += weight;
      mine.before.start += part * segment.start;
      mine.before.end += part * segment.end;
      mine.before.score += part * static_cast<double>(scores[j]);
    });
    const StoredSegment<T> pivot =
        seed.index < 0 ? StoredSegment<T>{T(0), T(0)} : load_stored(segments, seed.index);
    items.sweep([&](int64_t j, StoredSegment<T> candidate, double& score) {
      const bool member = j == seed.index || joins(pivot, candidate);
      if (member) {
        assignment[j] = cluster;
        const double weight = static_cast<double>(weights[j]);
        mine.largest = weight > mine.largest ? weight : mine.largest;
      } else {
        mine.next = better(mine.next, Best{score, j});
      }
      return !member;
    });
    round = team.reduce(mine, MergeRounds());
    const ClusterSums& sums = round.before;
    if (cluster > 0) {
      if (team.rank() == 0) {
        fused_segments[2 * cluster - 2] = static_cast<T>(scaled_mean(sums.start, sums.total));
        fused_segments[2 * cluster - 1] = static_cast<T>(scaled_mean(sums.end, sums.total));
        fused_scores[cluster - 1] = static_cast<T>(scaled_mean(sums.score, sums.total));
      }
      items.each_dropped(1, [&](int64_t j) {
        shares[j] = static_cast<T>(relative_weight(j, largest) / sums.total);
      });
    }
    if (seed.index < 0) break;
  }

  if (team.rank() == 0) params.fused_counts[group] = cluster;
  const int64_t padding = params.capacity - cluster;
  store_zeros(fused_segments + 2 * cluster, 2 * padding, team.rank(), team.size);
  store_zeros(fused_scores + cluster, padding, team.rank(), team.size);
  store_zeros(shares + count, params.capacity - count, team.rank(), team.size);
  store_wide(assignment + count, params.capacity - count, team.rank(), team.size,
             [](int64_t) { return int64_t(-1); });
}

template <typename T>
__global__ void __launch_bounds__(kGroupBlock, kGroupBlocks)
    fuse_segments_kernel(const FuseSegmentsParams<T> params) {
  for_each_group<Round>(params.counts, params.groups, params.capacity,
                        [&](auto& team, auto store, int64_t group, int64_t count) {
                          using Items = ItemsOf<T, decltype(store), decltype(team)>;
                          fuse_group<T, Items>(params, group, count, team);
                        });
}

template <typename T>
__global__ void __launch_bounds__(kGroupBlock)
    large_fuse_segments_kernel(const FuseSegmentsParams<T> params) {
  for_each_large_group<Round>(params.counts, params.groups, params.capacity,
                              [&](auto& team, auto store, int64_t group, int64_t count) {
                                using Items = ItemsOf<T, decltype(store), decltype(team)>;
                                fuse_group<T, Items>(params, group, count, team);
                              });
}

}  // namespace

template <typename T>
Status fuse_segments_cuda(const FuseSegmentsParams<T>& params, void* stream) {
  return launch_groups("fuse_segments", fuse_segments_kernel<T>, large_fuse_segments_kernel<T>,
                       params, stream);
}

template Status fuse_segments_cuda(const FuseSegmentsParams<float>&, void*);
template Status fuse_segments_cuda(const FuseSegmentsParams<double>&, void*);

}  // namespace gaufuse
