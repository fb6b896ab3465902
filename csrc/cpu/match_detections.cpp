#include "gaufuse/match_detections.h"

#include <algorithm>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/id_groups.h"
#include "cpu/parallel.h"
#include "cpu/score_order.h"

namespace gaufuse {
namespace {

constexpr int64_t kAhead = 12;  // detections whose values are fetched before they are looked at

struct Candidate {
  double iou;
  int32_t instance;  // of all
};

struct Instance {
  Segment segment;
  int32_t index;  // of all
  int32_t video;
};

struct Scratch {
  ScoreOrder<double> order;
  std::vector<double> scores;
  std::vector<Instance> instances;  // the class's, those of a video together, by their starts
  std::vector<int32_t> first;       // (num_videos) where each video's begin, or -1
  std::vector<int32_t> end;         // where those end that begin here
  std::vector<Candidate> candidates;
};

Segment detection_at(const MatchDetectionsParams& params, int64_t index) {
  const Segment seconds = load_segment(params.segments, index);
  return params.in_snippets ? truncated_to_snippets(seconds) : seconds;
}

Segment annotated_at(const MatchDetectionsParams& params, const double* segments, int64_t index) {
  const Segment seconds = load_segment(segments, index);
  return params.in_snippets ? rounded_to_snippets(seconds) : seconds;
}

// The detections' classes, -1 for those on ambiguous intervals.
std::vector<int32_t> without_ambiguous(const MatchDetectionsParams& params) {
  const IdGroups intervals =
      group_by_id(params.ambiguous_videos, params.num_ambiguous, params.num_videos);
  std::vector<int32_t> classes(params.classes, params.classes + params.num_detections);
  for (int64_t d = 0; d < params.num_detections; ++d) {
    const int32_t* own = intervals.begin(params.videos[d]);
    const Segment detection = detection_at(params, d);
    for (int64_t k = 0; k < intervals.count(params.videos[d]); ++k)
      if (iou_of(detection, annotated_at(params, params.ambiguous_segments, own[k]), 0.0) > 0.0)
        classes[d] = -1;
  }
  return classes;
}

void rank_class(const MatchDetectionsParams& params, const IdGroups& detections, int64_t c,
                Scratch& scratch) {
  const int64_t count = detections.count(c);
  const int32_t* members = detections.begin(c);
  scratch.scores.resize(count);
  for (int64_t i = 0; i < count; ++i) scratch.scores[i] = params.scores[members[i]];
  const int32_t* order = scratch.order.sort(scratch.scores.data(), count);
  int64_t* ranked = params.order + detections.offsets[c];
  for (int64_t rank = 0; rank < count; ++rank) ranked[rank] = members[order[rank]];
}

bool is_before(const Candidate& a, const Candidate& b) {
  return a.iou > b.iou || (a.iou == b.iou && a.instance < b.instance);
}

void match_one(const MatchDetectionsParams& params, int64_t detection,
               const std::vector<Candidate>& candidates) {
  for (int64_t h = 0; h < params.num_thresholds; ++h) {
    const Candidate* best = nullptr;
    for (const Candidate& candidate : candidates)
      if (candidate.iou >= params.thresholds[h] && (!best || is_before(candidate, *best)) &&
          params.found_by[candidate.instance * params.num_thresholds + h] < 0)
        best = &candidate;
    if (best)
      params.found_by[best->instance * params.num_thresholds + h] = static_cast<int32_t>(detection);
  }
}

void load_instances(const MatchDetectionsParams& params, const IdGroups& instances, int64_t c,
                    Scratch& scratch) {
  const int64_t count = instances.count(c);
  scratch.instances.resize(count);
  for (int64_t k = 0; k < count; ++k) {
    const int32_t index = instances.begin(c)[k];
    scratch.instances[k] = Instance{annotated_at(params, params.true_segments, index), index,
                                    params.true_videos[index]};
  }
  std::sort(scratch.instances.begin(), scratch.instances.end(),
            [](const Instance& a, const Instance& b) {
              return a.video < b.video || (a.video == b.video && a.segment.start < b.segment.start);
            });
  scratch.end.resize(count);
  scratch.candidates.reserve(count);
  // Nothing throws from here on until every entry in `first` is taken back.
  scratch.first.resize(std::max<size_t>(scratch.first.size(), params.num_videos), -1);
  for (int64_t k = 0; k < count; ++k) {
    int32_t& first = scratch.first[scratch.instances[k].video];
    if (first < 0) first = static_cast<int32_t>(k);
    scratch.end[first] = static_cast<int32_t>(k + 1);
  }
}

void match_class(const MatchDetectionsParams& params, const IdGroups& detections,
                 const IdGroups& instances, int64_t c, double lowest, Scratch& scratch) {
  load_instances(params, instances, c, scratch);
  const int64_t last = detections.offsets[c + 1];
  for (int64_t i = detections.offsets[c]; i < last; ++i) {
    const int64_t d = params.order[i];
    const int64_t soon = params.order[std::min(i + kAhead, last - 1)];  // ranks lie all over
    __builtin_prefetch(params.videos + soon);
    __builtin_prefetch(params.segments + 2 * soon);
    const int32_t first = scratch.first[params.videos[d]];
    if (first < 0) continue;
    const Segment detection = detection_at(params, d);
    scratch.candidates.clear();
    for (int32_t k = first; k < scratch.end[first]; ++k) {
      const Segment instance = scratch.instances[k].segment;
      if (instance.start >= detection.end) break;
      if (instance.end <= detection.start) continue;
      const double iou = iou_of(detection, instance, 0.0);
      if (iou >= lowest) scratch.candidates.push_back(Candidate{iou, scratch.instances[k].index});
    }
    if (!scratch.candidates.empty()) match_one(params, d, scratch.candidates);
  }
  for (const Instance& instance : scratch.instances) scratch.first[instance.video] = -1;
}

Status check(const MatchDetectionsParams& p) {
  GAUFUSE_RETURN_IF_BAD(check_ids("videos", p.videos, p.num_detections, 0, p.num_videos));
  GAUFUSE_RETURN_IF_BAD(check_ids("classes", p.classes, p.num_detections, -1, p.num_classes));
  GAUFUSE_RETURN_IF_BAD(check_ids("true_videos", p.true_videos, p.num_instances, 0, p.num_videos));
  GAUFUSE_RETURN_IF_BAD(
      check_ids("true_classes", p.true_classes, p.num_instances, -1, p.num_classes));
  return check_ids("ambiguous_videos", p.ambiguous_videos, p.num_ambiguous, 0, p.num_videos);
}

}  // namespace

Status match_detections_cpu(const MatchDetectionsParams& params, int threads) {
  GAUFUSE_RETURN_IF_BAD(check(params));
  const std::vector<int32_t> clear =
      params.num_ambiguous > 0 ? without_ambiguous(params) : std::vector<int32_t>();
  const IdGroups detections = group_by_id(params.num_ambiguous > 0 ? clear.data() : params.classes,
                                          params.num_detections, params.num_classes);
  const IdGroups instances =
      group_by_id(params.true_classes, params.num_instances, params.num_classes);
  std::copy(detections.offsets.begin(), detections.offsets.end(), params.offsets);
  std::fill_n(params.found_by, params.num_instances * params.num_thresholds, -1);
  const double lowest =
      *std::min_element(params.thresholds, params.thresholds + params.num_thresholds);

  const std::vector<int64_t> counts = counts_of(detections);
  constexpr int64_t kWorkPerDetection = 64;
  parallel_for_groups(params.num_classes, counts.data(), params.num_detections, kWorkPerDetection,
                      threads, [&](int64_t c) {
                        Scratch& scratch = thread_scratch<Scratch>();
                        rank_class(params, detections, c, scratch);
                        match_class(params, detections, instances, c, lowest, scratch);
                      });
  return Status();
}

}  // namespace gaufuse
