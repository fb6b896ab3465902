#include "gaufuse/soft_nms.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/lanes.h"
#include "cpu/multiversion.h"
#include "cpu/parallel.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

// Remaining segments lie sorted by start, in tiles that know their extent and their best score: a
// selection visits only the tiles that it overlaps, and the next one is found among the tiles'
// bests.
constexpr int kTile = 16;
constexpr double kGone =
    -std::numeric_limits<double>::infinity();  // the score of a dropped segment

// What a selection does to the scores of the others.
struct Selection {
  Segment segment;
  double inverse_sigma;
  double iou_threshold;
  double length_epsilon;
  double min_score;
};

// Decays a tile's scores by their overlap with the selected segment and returns the best of them.
// What is gone stays so: gone * 0 is NaN, which is not >= min_score either.
template <Decay DECAY>
GAUFUSE_ALWAYS_INLINE double decay_tile(const double* __restrict starts,
                                        const double* __restrict ends, double* __restrict scores,
                                        const Selection selection) {
  for (int i = 0; i < kTile; ++i) {
    const double iou =
        iou_without_branches(selection.segment, starts[i], ends[i], selection.length_epsilon);
    const double score =
        scores[i] * decay_weight(DECAY, iou, selection.inverse_sigma, selection.iou_threshold);
    scores[i] = score >= selection.min_score ? score : kGone;
  }
  return largest_of(scores, kTile);
}

using DecayTile = double (*)(const double*, const double*, double*, Selection);

GAUFUSE_MULTIVERSION double decay_tile_gaussian(const double* starts, const double* ends,
                                                double* scores, Selection selection) {
  return decay_tile<Decay::gaussian>(starts, ends, scores, selection);
}

GAUFUSE_MULTIVERSION double decay_tile_linear(const double* starts, const double* ends,
                                              double* scores, Selection selection) {
  return decay_tile<Decay::linear>(starts, ends, scores, selection);
}

GAUFUSE_MULTIVERSION double decay_tile_hard(const double* starts, const double* ends,
                                            double* scores, Selection selection) {
  return decay_tile<Decay::hard>(starts, ends, scores, selection);
}

GAUFUSE_MULTIVERSION double decay_tile_gaussian_above(const double* starts, const double* ends,
                                                      double* scores, Selection selection) {
  return decay_tile<Decay::gaussian_above>(starts, ends, scores, selection);
}

// In the order of Decay.
constexpr DecayTile kDecayTile[] = {decay_tile_gaussian, decay_tile_linear, decay_tile_hard,
                                    decay_tile_gaussian_above};

GAUFUSE_MULTIVERSION double largest_score(const double* scores, int64_t size) {
  return largest_of(scores, size);
}

// Buffers that a thread keeps from group to group.
struct Scratch {
  std::vector<std::pair<double, int32_t>> order;  // starts and indices, sorted
  std::vector<int32_t> index;                     // of each remaining segment in its group
  std::vector<double> start;
  std::vector<double> end;
  std::vector<double> score;
  std::vector<double> tile_start;  // the first start of each tile
  std::vector<double> tile_end;    // the last end
  std::vector<double> tile_score;  // the best score
};

template <typename T>
class GroupSoftNms {
 public:
  GroupSoftNms(const SoftNmsParams<T>& params, int64_t group, Scratch& scratch)
      : params_(params),
        scratch_(scratch),
        count_(valid_count(params.counts, group, params.capacity)),
        segments_(params.segments + 2 * group * params.capacity),
        scores_(params.scores + group * params.capacity),
        keep_(params.keep + group * params.capacity),
        kept_scores_(params.kept_scores + group * params.capacity),
        kept_count_(params.kept_counts[group]),
        decay_(kDecayTile[static_cast<int>(params.decay)]) {}

  Status check(int64_t group) const {
    GAUFUSE_RETURN_IF_BAD(check_segments("segments", segments_, count_, group));
    return check_finite("scores", scores_, count_, group);
  }

  void run() {
    load();
    make_tiles(count_);
    const int64_t most = std::min(count_, params_.max_output);
    int64_t selected = 0;
    int64_t until_compaction = compaction_interval();
    while (selected < most) {
      const double best = largest_score(scratch_.tile_score.data(), scratch_.tile_score.size());
      if (best == kGone) break;
      const int64_t place = find(best);
      keep_[selected] = scratch_.index[place];
      kept_scores_[selected] = static_cast<T>(best);
      scratch_.score[place] = kGone;
      decay(place, selected == 0 || decays_all(params_));
      ++selected;
      if (--until_compaction == 0) {
        compact();
        until_compaction = compaction_interval();
      }
    }
    kept_count_ = selected;
    std::fill(keep_ + selected, keep_ + params_.capacity, int64_t(-1));
    std::fill(kept_scores_ + selected, kept_scores_ + params_.capacity, T(0));
  }

 private:
  void load() {
    scratch_.order.resize(count_);
    for (int64_t i = 0; i < count_; ++i)
      scratch_.order[i] = {static_cast<double>(segments_[2 * i]), static_cast<int32_t>(i)};
    std::sort(scratch_.order.begin(), scratch_.order.end());
    const int64_t padded = round_up(count_, kTile);
    scratch_.index.resize(padded);
    scratch_.start.resize(padded);
    scratch_.end.resize(padded);
    scratch_.score.resize(padded);
    for (int64_t i = 0; i < count_; ++i) {
      const int32_t index = scratch_.order[i].second;
      scratch_.index[i] = index;
      scratch_.start[i] = scratch_.order[i].first;
      scratch_.end[i] = static_cast<double>(segments_[2 * index + 1]);
      scratch_.score[i] = static_cast<double>(scores_[index]);
    }
  }

  // Cuts the first `size` entries into tiles; the last tile is filled up with segments that are
  // gone.
  void make_tiles(int64_t size) {
    tiles_ = (size + kTile - 1) / kTile;
    for (int64_t i = size; i < tiles_ * kTile; ++i) {
      scratch_.start[i] = scratch_.end[i] = scratch_.start[size - 1];
      scratch_.score[i] = kGone;
    }
    scratch_.tile_start.resize(tiles_);
    scratch_.tile_end.resize(tiles_);
    scratch_.tile_score.assign(std::max<int64_t>(round_up(tiles_, kLanes), kLanes), kGone);
    for (int64_t tile = 0; tile < tiles_; ++tile) {
      const int64_t first = tile * kTile;
      scratch_.tile_start[tile] = scratch_.start[first];
      scratch_.tile_end[tile] =
          *std::max_element(scratch_.end.begin() + first, scratch_.end.begin() + first + kTile);
      scratch_.tile_score[tile] = largest_score(scratch_.score.data() + first, kTile);
    }
  }

  // The place of the lowest index with this score.
  int64_t find(double score) const {
    int64_t found = -1;
    for (int64_t tile = 0; tile < tiles_; ++tile) {
      if (scratch_.tile_score[tile] != score) continue;
      for (int64_t i = tile * kTile; i < (tile + 1) * kTile; ++i)
        if (scratch_.score[i] == score && (found < 0 || scratch_.index[i] < scratch_.index[found]))
          found = i;
    }
    return found;
  }

  // Visits the tiles that the segment at `place` overlaps, and its own, or all of them.
  void decay(int64_t place, bool all) {
    const Segment pivot{scratch_.start[place], scratch_.end[place]};
    const Selection selection{pivot, 1.0 / params_.sigma, threshold_for(params_, pivot),
                              params_.length_epsilon, params_.min_score};
    for (int64_t tile = 0; tile < tiles_; ++tile) {
      const bool apart =
          scratch_.tile_start[tile] >= pivot.end || scratch_.tile_end[tile] <= pivot.start;
      if (apart && !all && tile != place / kTile) continue;
      const int64_t first = tile * kTile;
      scratch_.tile_score[tile] = decay_(scratch_.start.data() + first, scratch_.end.data() + first,
                                         scratch_.score.data() + first, selection);
    }
  }

  // Closing the gaps that often costs little beside the selections in between.
  int64_t compaction_interval() const { return std::max<int64_t>(kTile, 2 * tiles_); }

  void compact() {
    int64_t left = 0;
    for (int64_t i = 0; i < tiles_ * kTile; ++i) {
      scratch_.index[left] = scratch_.index[i];
      scratch_.start[left] = scratch_.start[i];
      scratch_.end[left] = scratch_.end[i];
      scratch_.score[left] = scratch_.score[i];
      left += scratch_.score[i] != kGone;
    }
    make_tiles(left);
  }

  const SoftNmsParams<T>& params_;
  Scratch& scratch_;
  const int64_t count_;
  const T* segments_;
  const T* scores_;
  int64_t* keep_;
  T* kept_scores_;
  int64_t& kept_count_;
  const DecayTile decay_;
  int64_t tiles_ = 0;
};

}  // namespace

template <typename T>
Status soft_nms_cpu(const SoftNmsParams<T>& params, int threads) {
  const int64_t groups = params.groups;
  const int64_t capacity = params.capacity;
  GAUFUSE_RETURN_IF_BAD(check_group_size(capacity));
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, groups, capacity));
  FirstError error;
  parallel_for_groups(groups, params.counts, capacity, 256, threads, [&](int64_t g) {
    GroupSoftNms<T> group(params, g, thread_scratch<Scratch>());
    if (!error.add(group.check(g), g)) group.run();
  });
  return error.status();
}

template Status soft_nms_cpu(const SoftNmsParams<float>&, int);
template Status soft_nms_cpu(const SoftNmsParams<double>&, int);

}  // namespace gaufuse
