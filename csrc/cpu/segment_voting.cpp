#include "gaufuse/segment_voting.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/lanes.h"
#include "cpu/multiversion.h"
#include "cpu/parallel.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

// Kept segments that one task refines: large groups are shared among threads.
constexpr int64_t kPart = 64;

// Buffers that a thread keeps from task to task; filled up with votes of zero.
struct Scratch {
  std::vector<double> start;
  std::vector<double> end;
  std::vector<double> vote;
};

struct Votes {
  double total;
  double start;
  double end;
};

GAUFUSE_MULTIVERSION Votes votes_for(const double* __restrict starts, const double* __restrict ends,
                                     const double* __restrict votes, int64_t size, Segment kept,
                                     double iou_threshold, bool by_iou) {
  double total[kLanes] = {};
  double start[kLanes] = {};
  double end[kLanes] = {};
  for (int64_t i = 0; i < size; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) {
      const double iou = iou_without_branches(kept, starts[i + lane], ends[i + lane], 0.0);
      const double weighted = weighted_vote(votes[i + lane], iou, by_iou);
      const double vote = iou >= iou_threshold ? weighted : 0.0;
      total[lane] += vote;
      start[lane] += vote * (starts[i + lane] * kHeadroom);
      end[lane] += vote * (ends[i + lane] * kHeadroom);
    }
  return Votes{sum_of_lanes(total), sum_of_lanes(start), sum_of_lanes(end)};
}

template <typename T>
void load(const SegmentVotingParams<T>& params, int64_t group, Scratch& scratch) {
  const int64_t count = valid_count(params.counts, group, params.capacity);
  const T* segments = params.segments + 2 * group * params.capacity;
  const T* scores = params.scores + group * params.capacity;
  const int64_t padded = round_up(count, kLanes);
  scratch.start.assign(padded, 0.0);
  scratch.end.assign(padded, 0.0);
  scratch.vote.assign(padded, 0.0);
  T largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, scores[i]);
  const int exponent = exponent_of(static_cast<double>(largest));
  for (int64_t i = 0; i < count; ++i) {
    scratch.start[i] = static_cast<double>(segments[2 * i]);
    scratch.end[i] = static_cast<double>(segments[2 * i + 1]);
    scratch.vote[i] = vote_of(static_cast<double>(scores[i]), exponent);
  }
}

template <typename T>
void refine(const SegmentVotingParams<T>& params, int64_t group, int64_t begin, int64_t end,
            const Scratch& scratch) {
  const int64_t kept_count = valid_count(params.kept_counts, group, params.num_kept);
  const T* kept = params.kept + 2 * group * params.num_kept;
  T* refined = params.refined + 2 * group * params.num_kept;
  for (int64_t k = begin; k < end; ++k) {
    if (k >= kept_count) {
      refined[2 * k] = refined[2 * k + 1] = T(0);
      continue;
    }
    const Segment segment = load_segment(kept, k);
    const Votes votes =
        votes_for(scratch.start.data(), scratch.end.data(), scratch.vote.data(),
                  scratch.vote.size(), segment, params.iou_threshold, params.weights_by_iou);
    const bool any = votes.total > 0.0;
    refined[2 * k] = any ? static_cast<T>(scaled_mean(votes.start, votes.total)) : kept[2 * k];
    refined[2 * k + 1] =
        any ? static_cast<T>(scaled_mean(votes.end, votes.total)) : kept[2 * k + 1];
  }
}

}  // namespace

template <typename T>
Status segment_voting_cpu(const SegmentVotingParams<T>& params, int threads) {
  const int64_t groups = params.groups;
  const int64_t capacity = params.capacity;
  const int64_t num_kept = params.num_kept;
  GAUFUSE_RETURN_IF_BAD(check_counts("kept_counts", params.kept_counts, groups, num_kept));
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, groups, capacity));
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t count = valid_count(params.counts, g, capacity);
    GAUFUSE_RETURN_IF_BAD(check_segments("kept", params.kept + 2 * g * num_kept,
                                         valid_count(params.kept_counts, g, num_kept), g));
    GAUFUSE_RETURN_IF_BAD(check_segments("segments", params.segments + 2 * g * capacity, count, g));
    GAUFUSE_RETURN_IF_BAD(check_finite("scores", params.scores + g * capacity, count, g));
  }
  const int64_t parts = (num_kept + kPart - 1) / kPart;
  const int64_t work = capacity * std::min(num_kept, kPart);
  parallel_for(groups * parts, grain_for(work), threads, [&](int64_t begin, int64_t end) {
    Scratch& scratch = thread_scratch<Scratch>();
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task / parts;
      const int64_t first = task % parts * kPart;
      if (task == begin || first == 0) load(params, group, scratch);
      refine(params, group, first, std::min(num_kept, first + kPart), scratch);
    }
  });
  return Status();
}

template Status segment_voting_cpu(const SegmentVotingParams<float>&, int);
template Status segment_voting_cpu(const SegmentVotingParams<double>&, int);

}  // namespace gaufuse
