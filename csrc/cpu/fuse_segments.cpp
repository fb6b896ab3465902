#include "gaufuse/fuse_segments.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/multiversion.h"
#include "cpu/parallel.h"
#include "cpu/score_order.h"
#include "cpu/segment_index.h"
#include "gaufuse/exp_negative.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

// exp((weight - largest) / temperature), in place.
GAUFUSE_MULTIVERSION void relative_weights(double* weights, size_t size, double largest,
                                           double temperature) {
  for (size_t m = 0; m < size; ++m) weights[m] = exp_negative((weights[m] - largest) / temperature);
}

struct Member {
  Segment segment;
  int32_t index;
};

// Buffers that a thread keeps from group to group.
template <typename T>
struct Scratch {
  ScoreOrder<T> order;
  SegmentIndex index;
  std::vector<Member> members;  // of the current cluster, seed first
  std::vector<double> weights;  // theirs
};

template <typename T>
class GroupFusion {
 public:
  GroupFusion(const FuseSegmentsParams<T>& params, int64_t group, Scratch<T>& scratch)
      : params_(params),
        scratch_(scratch),
        group_(group),
        count_(valid_count(params.counts, group, params.capacity)),
        segments_(params.segments + 2 * group * params.capacity),
        scores_(params.scores + group * params.capacity),
        weights_(params.weights + group * params.capacity),
        fused_segments_(params.fused_segments + 2 * group * params.capacity),
        fused_scores_(params.fused_scores + group * params.capacity),
        assignment_(params.assignment + group * params.capacity),
        shares_(params.shares + group * params.capacity),
        fused_count_(params.fused_counts[group]) {}

  Status check() const {
    GAUFUSE_RETURN_IF_BAD(check_segments("segments", segments_, count_, group_));
    GAUFUSE_RETURN_IF_BAD(check_finite("scores", scores_, count_, group_));
    return check_finite("weights", weights_, count_, group_);
  }

  void run() {
    const int32_t* order = scratch_.order.sort(scores_, count_);
    // Below a threshold of zero even segments far apart belong together.
    scratch_.index.build(segments_, count_, params_.threshold >= 0.0);
    int64_t clusters = 0;
    for (int64_t i = 0; i < count_; ++i) {
      if (!scratch_.index.alive(order[i])) continue;
      take_cluster(order[i]);
      write_cluster(clusters++);
    }
    fused_count_ = clusters;
    pad(clusters);
  }

 private:
  // Moves the seed and all that overlap it from the index to `members`.
  void take_cluster(int32_t seed_index) {
    const Segment seed = scratch_.index.segment(seed_index);
    scratch_.members.assign(1, Member{seed, seed_index});
    scratch_.index.remove(seed_index);
    scratch_.index.sweep(seed, params_.length_offset, [&](int32_t index, Segment candidate) {
      const bool member = segment_overlap(seed, candidate, params_.overlap, params_.length_offset) >
                          params_.threshold;
      if (member) scratch_.members.push_back(Member{candidate, index});
      return member;
    });
  }

  void write_cluster(int64_t cluster) {
    const size_t size = scratch_.members.size();
    scratch_.weights.resize(size);
    double* weights = scratch_.weights.data();
    for (size_t m = 0; m < size; ++m)
      weights[m] = static_cast<double>(weights_[scratch_.members[m].index]);
    const double largest = *std::max_element(weights, weights + size);
    relative_weights(weights, size, largest, params_.temperature);

    double total = 0.0;
    double start = 0.0;
    double end = 0.0;
    double score = 0.0;
    for (size_t m = 0; m < size; ++m) {
      const Member& member = scratch_.members[m];
      const double part = weights[m] * kHeadroom;
      total += weights[m];
      start += part * member.segment.start;
      end += part * member.segment.end;
      score += part * static_cast<double>(scores_[member.index]);
    }
    for (size_t m = 0; m < size; ++m) {
      shares_[scratch_.members[m].index] = static_cast<T>(weights[m] / total);
      assignment_[scratch_.members[m].index] = cluster;
    }
    fused_segments_[2 * cluster] = static_cast<T>(scaled_mean(start, total));
    fused_segments_[2 * cluster + 1] = static_cast<T>(scaled_mean(end, total));
    fused_scores_[cluster] = static_cast<T>(scaled_mean(score, total));
  }

  void pad(int64_t clusters) {
    const int64_t capacity = params_.capacity;
    std::fill(fused_segments_ + 2 * clusters, fused_segments_ + 2 * capacity, T(0));
    std::fill(fused_scores_ + clusters, fused_scores_ + capacity, T(0));
    std::fill(assignment_ + count_, assignment_ + capacity, int64_t(-1));
    std::fill(shares_ + count_, shares_ + capacity, T(0));
  }

  const FuseSegmentsParams<T>& params_;
  Scratch<T>& scratch_;
  const int64_t group_;
  const int64_t count_;
  const T* segments_;
  const T* scores_;
  const T* weights_;
  T* fused_segments_;
  T* fused_scores_;
  int64_t* assignment_;
  T* shares_;
  int64_t& fused_count_;
};

}  // namespace

template <typename T>
Status fuse_segments_cpu(const FuseSegmentsParams<T>& params, int threads) {
  const int64_t groups = params.groups;
  const int64_t capacity = params.capacity;
  GAUFUSE_RETURN_IF_BAD(check_group_size(capacity));
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, groups, capacity));
  FirstError error;
  parallel_for_groups(groups, params.counts, capacity, 64, threads, [&](int64_t g) {
    GroupFusion<T> group(params, g, thread_scratch<Scratch<T>>());
    if (!error.add(group.check(), g)) group.run();
  });
  return error.status();
}

template Status fuse_segments_cpu(const FuseSegmentsParams<float>&, int);
template Status fuse_segments_cpu(const FuseSegmentsParams<double>&, int);

}  // namespace gaufuse
