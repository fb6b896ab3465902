#include "gaufuse/weighted_segments_fusion.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/lanes.h"
#include "cpu/multiversion.h"
#include "cpu/parallel.h"
#include "cpu/score_order.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

// Writes the IoU of a segment with each of `size` others and returns the largest.
GAUFUSE_MULTIVERSION double largest_iou(const double* __restrict starts,
                                        const double* __restrict ends, double* __restrict ious,
                                        int64_t size, Segment segment) {
  for (int64_t i = 0; i < size; ++i)
    ious[i] = iou_without_branches(segment, starts[i], ends[i], 0.0);
  return largest_of(ious, size);
}

// Buffers that a thread keeps from group to group.
template <typename T>
struct Scratch {
  ScoreOrder<T> order;
  ScoreOrder<double> cluster_order;
  std::vector<FusedCluster> clusters;
  std::vector<double> start;  // of the clusters' means; filled up with empty segments
  std::vector<double> end;
  std::vector<double> iou;
  std::vector<double> score;
  std::vector<int64_t> rank;
};

template <typename T>
class GroupWeightedFusion {
 public:
  GroupWeightedFusion(const WeightedSegmentsFusionParams<T>& params, int64_t group,
                      Scratch<T>& scratch)
      : params_(params),
        scratch_(scratch),
        count_(valid_count(params.counts, group, params.capacity)),
        segments_(params.segments + 2 * group * params.capacity),
        scores_(params.scores + group * params.capacity),
        fused_segments_(params.fused_segments + 2 * group * params.capacity),
        fused_scores_(params.fused_scores + group * params.capacity),
        assignment_(params.assignment + group * params.capacity),
        fused_count_(params.fused_counts[group]) {}

  Status check(int64_t group) const {
    GAUFUSE_RETURN_IF_BAD(check_segments("segments", segments_, count_, group));
    return check_finite("scores", scores_, count_, group);
  }

  void run() {
    const int32_t* order = scratch_.order.sort(scores_, count_);
    const int64_t padded = round_up(count_, kLanes);
    scratch_.clusters.clear();
    scratch_.start.assign(padded, 0.0);
    scratch_.end.assign(padded, 0.0);
    scratch_.iou.resize(padded);
    std::fill(assignment_, assignment_ + params_.capacity, int64_t(-1));
    for (int64_t i = 0; i < count_; ++i) {
      const int32_t j = order[i];
      const double score = static_cast<double>(scores_[j]);
      const Segment segment = load_segment(segments_, j);
      if (score >= params_.skip_below && segment.end > segment.start)
        assignment_[j] = add(segment, score);
    }
    write();
  }

 private:
  // Adds a segment to a cluster, an old or a new one, and returns which.
  int64_t add(Segment segment, double score) {
    int64_t cluster = match(segment);
    if (cluster < 0) {
      cluster = static_cast<int64_t>(scratch_.clusters.size());
      scratch_.clusters.push_back(FusedCluster{score, 0.0, 0.0, 0.0, 0.0});
      scratch_.start[cluster] = segment.start;
      scratch_.end[cluster] = segment.end;
      scratch_.clusters[cluster].add(segment, score);
      return cluster;
    }
    FusedCluster& sums = scratch_.clusters[cluster];
    sums.add(segment, score);
    if (sums.total > 0.0) {
      scratch_.start[cluster] = sums.mean().start;
      scratch_.end[cluster] = sums.mean().end;
    }
    return cluster;
  }

  int64_t match(Segment segment) {
    const int64_t clusters = static_cast<int64_t>(scratch_.clusters.size());
    if (clusters == 0) return -1;
    double* iou = scratch_.iou.data();
    const double best = largest_iou(scratch_.start.data(), scratch_.end.data(), iou,
                                    round_up(clusters, kLanes), segment);
    return best > params_.iou_threshold ? std::find(iou, iou + clusters, best) - iou : -1;
  }

  void write() {
    const int64_t clusters = static_cast<int64_t>(scratch_.clusters.size());
    scratch_.score.resize(clusters);
    for (int64_t k = 0; k < clusters; ++k)
      scratch_.score[k] = scratch_.clusters[k].score(params_.confidence, params_.num_models,
                                                     params_.allows_overflow);
    const int32_t* by_score = scratch_.cluster_order.sort(scratch_.score.data(), clusters);
    scratch_.rank.resize(clusters);
    for (int64_t rank = 0; rank < clusters; ++rank) {
      const int32_t k = by_score[rank];
      scratch_.rank[k] = rank;
      fused_segments_[2 * rank] = static_cast<T>(scratch_.start[k]);
      fused_segments_[2 * rank + 1] = static_cast<T>(scratch_.end[k]);
      fused_scores_[rank] = static_cast<T>(scratch_.score[k]);
    }
    for (int64_t j = 0; j < count_; ++j)
      if (assignment_[j] >= 0) assignment_[j] = scratch_.rank[assignment_[j]];
    fused_count_ = clusters;
    std::fill(fused_segments_ + 2 * clusters, fused_segments_ + 2 * params_.capacity, T(0));
    std::fill(fused_scores_ + clusters, fused_scores_ + params_.capacity, T(0));
  }

  const WeightedSegmentsFusionParams<T>& params_;
  Scratch<T>& scratch_;
  const int64_t count_;
  const T* segments_;
  const T* scores_;
  T* fused_segments_;
  T* fused_scores_;
  int64_t* assignment_;
  int64_t& fused_count_;
};

}  // namespace

template <typename T>
Status weighted_segments_fusion_cpu(const WeightedSegmentsFusionParams<T>& params, int threads) {
  const int64_t groups = params.groups;
  const int64_t capacity = params.capacity;
  GAUFUSE_RETURN_IF_BAD(check_group_size(capacity));
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, groups, capacity));
  FirstError error;
  parallel_for_groups(groups, params.counts, capacity, 256, threads, [&](int64_t g) {
    GroupWeightedFusion<T> group(params, g, thread_scratch<Scratch<T>>());
    if (!error.add(group.check(g), g)) group.run();
  });
  return error.status();
}

template Status weighted_segments_fusion_cpu(const WeightedSegmentsFusionParams<float>&, int);
template Status weighted_segments_fusion_cpu(const WeightedSegmentsFusionParams<double>&, int);

}  // namespace gaufuse
