#include "gaufuse/first_proposals.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/id_groups.h"
#include "cpu/parallel.h"
#include "cpu/score_order.h"
#include "gaufuse/segment_overlap.h"

namespace gaufuse {
namespace {

struct Scratch {
  ScoreOrder<double> order;
  std::vector<double> scores;
};

void rank_video(const FirstProposalsParams& params, const IdGroups& proposals,
                const IdGroups& instances, int64_t v, Scratch& scratch) {
  const int64_t count = proposals.count(v);
  const int32_t* members = proposals.begin(v);
  scratch.scores.resize(count);
  for (int64_t i = 0; i < count; ++i) scratch.scores[i] = params.scores[members[i]];
  const int32_t* order = scratch.order.sort(scratch.scores.data(), count);
  for (int64_t k = 0; k < instances.count(v); ++k) {
    const int32_t instance = instances.begin(v)[k];
    const Segment truth = load_segment(params.true_segments, instance);
    int32_t* ranks = params.ranks + instance * params.num_thresholds;
    for (int64_t i = 0; i < count; ++i) {
      const double iou = iou_of(load_segment(params.segments, members[order[i]]), truth, 0.0);
      for (int64_t h = 0; h < params.num_thresholds; ++h)
        if (ranks[h] == 0 && iou >= params.thresholds[h]) ranks[h] = static_cast<int32_t>(i + 1);
    }
  }
}

}  // namespace

Status first_proposals_cpu(const FirstProposalsParams& params, int threads) {
  const int64_t num_videos = params.num_videos;
  GAUFUSE_RETURN_IF_BAD(check_ids("videos", params.videos, params.num_proposals, -1, num_videos));
  GAUFUSE_RETURN_IF_BAD(
      check_ids("true_videos", params.true_videos, params.num_instances, 0, num_videos));
  const IdGroups proposals = group_by_id(params.videos, params.num_proposals, num_videos);
  const IdGroups instances = group_by_id(params.true_videos, params.num_instances, num_videos);
  std::fill_n(params.ranks, params.num_instances * params.num_thresholds, 0);
  const std::vector<int64_t> counts = counts_of(proposals);
  parallel_for_groups(num_videos, counts.data(), params.num_proposals, 64, threads, [&](int64_t v) {
    rank_video(params, proposals, instances, v, thread_scratch<Scratch>());
  });
  return Status();
}

}  // namespace gaufuse
