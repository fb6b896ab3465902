#include "cuda/group_items.cuh"
#include "cuda/wide_stores.cuh"
#include "gaufuse/groups.h"
#include "gaufuse/segment_voting.h"

namespace gaufuse {
namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / 32;

struct Votes {
  double total;
  double start;
  double end;
};

struct AddVotes {
  __device__ Votes operator()(const Votes& a, const Votes& b) const {
    return Votes{a.total + b.total, a.start + b.start, a.end + b.end};
  }
};

struct Larger {
  __device__ double operator()(double a, double b) const { return a > b ? a : b; }
};

// One block per kWarps kept segments of a group, so that groups of any sizes share the device; one
// that is all padding writes it and ends: (1) the block finds the group's largest score, the
// unit of the votes; (2) each warp refines one kept segment, its lanes sharing the voters, whose
// sums meet in a fixed tree.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    segment_voting_kernel(const SegmentVotingParams<T> params, int64_t parts) {
  __shared__ double shared_largest[2 * kWarps];
  Team<kBlock, double> team(shared_largest);
  const int lane = threadIdx.x % 32;

  for (int64_t task = blockIdx.x; task < params.groups * parts; task += gridDim.x) {
    const int64_t group = task / parts;
    const int64_t first = task % parts * kWarps;
    const int64_t k = first + threadIdx.x / 32;
    const int64_t count = valid_count(params.counts, group, params.capacity);
    const int64_t kept_count = valid_count(params.kept_counts, group, params.num_kept);
    const T* segments = params.segments + 2 * group * params.capacity;
    const T* scores = params.scores + group * params.capacity;

    if (first >= kept_count) {
      const int64_t padding = params.num_kept - first < kWarps ? params.num_kept - first : kWarps;
      store_zeros(params.refined + 2 * (group * params.num_kept + first), 2 * padding,
                  static_cast<int>(threadIdx.x), kBlock);
      continue;
    }

    double largest = 0.0;
    for (int64_t j = threadIdx.x; j < count; j += kBlock)
      largest = Larger()(static_cast<double>(scores[j]), largest);
    largest = team.reduce(largest, Larger());
    const int exponent = exponent_of(largest);

    if (k >= params.num_kept) continue;  // whole warps; the next barrier is in the next task
    const T* kept = params.kept + 2 * (group * params.num_kept + k);
    T* refined = params.refined + 2 * (group * params.num_kept + k);
    Votes votes{0.0, 0.0, 0.0};
    if (k < kept_count) {
      const Segment segment = load_segment(kept, 0);
      for (int64_t j = lane; j < count; j += 32) {
        const Segment voter = load_segment(segments, j);
        const double iou = iou_of(segment, voter, 0.0);
        if (!(iou >= params.iou_threshold)) continue;
        const double vote = weighted_vote(vote_of(static_cast<double>(scores[j]), exponent), iou,
                                          params.weights_by_iou);
        votes = AddVotes()(
            votes, Votes{vote, vote * (voter.start * kHeadroom), vote * (voter.end * kHeadroom)});
      }
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2)
      votes = AddVotes()(votes, shuffle_down(votes, offset));
    if (lane != 0) continue;
    if (k >= kept_count) {
      refined[0] = refined[1] = T(0);
    } else if (votes.total > 0.0) {
      refined[0] = static_cast<T>(scaled_mean(votes.start, votes.total));
      refined[1] = static_cast<T>(scaled_mean(votes.end, votes.total));
    } else {
      refined[0] = kept[0];
      refined[1] = kept[1];
    }
  }
}

}  // namespace

template <typename T>
Status segment_voting_cuda(const SegmentVotingParams<T>& params, void* stream) {
  const int64_t parts = (params.num_kept + kWarps - 1) / kWarps;
  if (params.groups * parts == 0) return Status();
  launch_kernel(segment_voting_kernel<T>, grid_for(params.groups * parts), kBlock, 0, stream,
                params, parts);
  return launch_status("segment_voting");
}

template Status segment_voting_cuda(const SegmentVotingParams<float>&, void*);
template Status segment_voting_cuda(const SegmentVotingParams<double>&, void*);

}  // namespace gaufuse
