// Evaluation: detections are matched, averaged, resampled, and each result is what its definition
// gives, one class, one threshold, one video at a time.
#include <algorithm>
#include <cmath>
#include <vector>

#include "fuzz/harness.h"
#include "fuzz/scored_groups.h"
#include "gaufuse/average_precision.h"
#include "gaufuse/bootstrap_precision.h"
#include "gaufuse/first_proposals.h"
#include "gaufuse/match_detections.h"
#include "gaufuse/repeated_detections.h"

namespace gaufuse {
namespace {

struct Segments {
  int64_t size;
  Array<double> segments;
  Array<int32_t> videos;
  Array<int32_t> classes;

  Segments(Bytes& bytes, int64_t count, int64_t num_videos, int64_t num_classes) : size(count) {
    bool valid = true;
    segments = draw_segments<double>(bytes, 1, size, nullptr, valid);
    if (!valid)  // Python has seen to that
      for (int64_t i = 0; i < size; ++i) segments[2 * i] = segments[2 * i + 1] = 1.0;
    videos = make_array<int32_t>(bytes, size);
    classes = make_array<int32_t>(bytes, size);
    for (int64_t i = 0; i < size; ++i) {
      videos[i] = static_cast<int32_t>(bytes.upto(num_videos - 1));
      classes[i] = static_cast<int32_t>(bytes.upto(num_classes)) - 1;
    }
  }
};

struct Case {
  int64_t num_videos;
  int64_t num_classes;
  int64_t num_thresholds;
  Segments detections;
  Segments instances;
  Segments ambiguous;
  Array<double> scores;
  Array<double> thresholds;
  bool in_snippets;

  explicit Case(Bytes& bytes)
      : num_videos(1 + bytes.upto(3)),
        num_classes(1 + bytes.upto(2)),
        num_thresholds(1 + bytes.upto(3)),
        detections(bytes, draw_size(bytes, bytes.one_in(64) ? 300 : 16), num_videos, num_classes),
        instances(bytes, draw_size(bytes, 8), num_videos, num_classes),
        ambiguous(bytes, bytes.one_in(2) ? 0 : bytes.upto(3), num_videos, num_classes),
        scores(make_array<double>(bytes, detections.size)),
        thresholds(make_array<double>(bytes, num_thresholds)),
        in_snippets(bytes.one_in(3)) {
    const Style style = bytes.one_in(2) ? Style::steps : Style::special;
    for (int64_t d = 0; d < detections.size; ++d) scores[d] = bytes.number<double>(style);
    for (int64_t h = 0; h < num_thresholds; ++h) thresholds[h] = bytes.fraction() + 1.0 / 64.0;
  }

  Segment detection(int64_t d) const {
    const Segment found = load_segment(detections.segments.data(), d);
    return in_snippets ? truncated_to_snippets(found) : found;
  }
  Segment annotated(const Segments& from, int64_t i) const {
    const Segment found = load_segment(from.segments.data(), i);
    return in_snippets ? rounded_to_snippets(found) : found;
  }
  bool is_before(int64_t a, int64_t b) const {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  }
};

// The class of each detection, -1 where it overlaps an ambiguous interval.
std::vector<int32_t> clear_classes(const Case& given) {
  std::vector<int32_t> classes(given.detections.size);
  for (int64_t d = 0; d < given.detections.size; ++d) {
    classes[d] = given.detections.classes[d];
    for (int64_t i = 0; i < given.ambiguous.size; ++i)
      if (given.ambiguous.videos[i] == given.detections.videos[d] &&
          iou_of(given.detection(d), given.annotated(given.ambiguous, i), 0.0) > 0.0)
        classes[d] = -1;
  }
  return classes;
}

void check_matches(const Case& given, const MatchDetectionsParams& params) {
  const std::vector<int32_t> classes = clear_classes(given);
  std::vector<int64_t> order;
  for (int64_t c = 0; c < given.num_classes; ++c) {
    CHECK(params.offsets[c] == static_cast<int64_t>(order.size()));
    std::vector<int64_t> own;
    for (int64_t d = 0; d < given.detections.size; ++d)
      if (classes[d] == c) own.push_back(d);
    std::sort(own.begin(), own.end(), [&](int64_t a, int64_t b) { return given.is_before(a, b); });
    order.insert(order.end(), own.begin(), own.end());
    for (int64_t h = 0; h < given.num_thresholds; ++h) {
      std::vector<int32_t> found_by(given.instances.size, -1);
      for (int64_t d : own) {
        int64_t best = -1;
        double best_iou = 0.0;
        for (int64_t i = 0; i < given.instances.size; ++i) {
          if (given.instances.classes[i] != c || found_by[i] >= 0) continue;
          if (given.instances.videos[i] != given.detections.videos[d]) continue;
          const double iou = iou_of(given.detection(d), given.annotated(given.instances, i), 0.0);
          if (iou >= given.thresholds[h] && iou > best_iou) {
            best = i;
            best_iou = iou;
          }
        }
        if (best >= 0) found_by[best] = static_cast<int32_t>(d);
      }
      for (int64_t i = 0; i < given.instances.size; ++i)
        if (given.instances.classes[i] == c)
          CHECK(params.found_by[i * given.num_thresholds + h] == found_by[i]);
    }
  }
  CHECK(params.offsets[given.num_classes] == static_cast<int64_t>(order.size()));
  CHECK(std::equal(order.begin(), order.end(), params.order));
}

bool has_instance(const Case& given, int64_t c, const int32_t* weights) {
  for (int64_t i = 0; i < given.instances.size; ++i)
    if (given.instances.classes[i] == c && (!weights || weights[given.instances.videos[i]] > 0))
      return true;
  return false;
}

// One sample in which every video counts once, one at random.
void check_precision(Bytes& bytes, const Case& given, const MatchDetectionsParams& matched) {
  const int64_t size = given.num_classes * given.num_thresholds;
  Array<double> precision = make_array<double>(bytes, size);
  AveragePrecisionParams params{
      matched.found_by, given.instances.classes.data(), matched.order,        matched.offsets,
      precision.data(), given.detections.size,          given.instances.size, given.num_thresholds,
      given.num_classes};
  CHECK(average_precision_cpu(params, 1).ok());
  Array<int32_t> weights = make_array<int32_t>(bytes, 2 * given.num_videos);
  std::vector<int32_t> drawn(given.num_videos);
  for (int64_t v = 0; v < given.num_videos; ++v) {
    weights[2 * v] = 1;
    drawn[v] = weights[2 * v + 1] = static_cast<int32_t>(bytes.upto(3));
  }
  Array<double> resampled = make_array<double>(bytes, 2 * size);
  BootstrapPrecisionParams samples{};
  samples.found_by = matched.found_by;
  samples.videos = given.detections.videos.data();
  samples.true_videos = given.instances.videos.data();
  samples.true_classes = given.instances.classes.data();
  samples.order = matched.order;
  samples.offsets = matched.offsets;
  samples.weights = weights.data();
  samples.precision = resampled.data();
  samples.num_detections = given.detections.size;
  samples.num_instances = given.instances.size;
  samples.num_thresholds = given.num_thresholds;
  samples.num_classes = given.num_classes;
  samples.num_videos = given.num_videos;
  samples.num_samples = 2;
  CHECK(bootstrap_precision_cpu(samples, 1).ok());
  for (int64_t k = 0; k < size; ++k) {
    const int64_t c = k / given.num_thresholds;
    CHECK(std::isnan(precision[k]) != has_instance(given, c, nullptr));
    CHECK(std::isnan(resampled[2 * k + 1]) != has_instance(given, c, drawn.data()));
    for (double one : {precision[k], resampled[2 * k], resampled[2 * k + 1]})
      CHECK(std::isnan(one) || (one >= 0.0 && one <= 1.0 + 1e-12));
    if (!std::isnan(precision[k])) CHECK_NEAR(precision[k], resampled[2 * k], 1e-12);
  }
}

void check_repeated(Bytes& bytes, const Case& given) {
  const Segments& all = given.detections;
  Array<bool> repeated = make_array<bool>(bytes, all.size);
  RepeatedDetectionsParams params{all.segments.data(), given.scores.data(), all.videos.data(),
                                  all.classes.data(),  repeated.data(),     all.size,
                                  given.num_videos};
  CHECK(repeated_detections_cpu(params, 1).ok());
  for (int64_t d = 0; d < all.size; ++d) {
    bool expected = false;
    for (int64_t e = 0; e < d; ++e)
      expected |= all.videos[d] == all.videos[e] && all.classes[d] == all.classes[e] &&
                  given.scores[d] == given.scores[e] &&
                  all.segments[2 * d] == all.segments[2 * e] &&
                  all.segments[2 * d + 1] == all.segments[2 * e + 1];
    CHECK(repeated[d] == expected);
  }
}

void check_first(Bytes& bytes, const Case& given) {
  const int64_t num_thresholds = given.num_thresholds;
  Array<int32_t> ranks = make_array<int32_t>(bytes, given.instances.size * num_thresholds);
  FirstProposalsParams params{given.detections.segments.data(),
                              given.scores.data(),
                              given.detections.videos.data(),
                              given.instances.segments.data(),
                              given.instances.videos.data(),
                              given.thresholds.data(),
                              ranks.data(),
                              given.detections.size,
                              given.instances.size,
                              num_thresholds,
                              given.num_videos};
  CHECK(first_proposals_cpu(params, 1).ok());
  for (int64_t i = 0; i < given.instances.size; ++i) {
    std::vector<int64_t> own;
    for (int64_t d = 0; d < given.detections.size; ++d)
      if (given.detections.videos[d] == given.instances.videos[i]) own.push_back(d);
    std::sort(own.begin(), own.end(), [&](int64_t a, int64_t b) { return given.is_before(a, b); });
    const Segment truth = load_segment(given.instances.segments.data(), i);
    for (int64_t h = 0; h < num_thresholds; ++h) {
      int32_t expected = 0;
      for (size_t rank = 0; rank < own.size() && expected == 0; ++rank)
        if (iou_of(load_segment(given.detections.segments.data(), own[rank]), truth, 0.0) >=
            given.thresholds[h])
          expected = static_cast<int32_t>(rank + 1);
      CHECK(ranks[i * num_thresholds + h] == expected);
    }
  }
}

// An id out of range is refused, whichever it is.
void check_refusals(Bytes& bytes, Case& given, const MatchDetectionsParams& params) {
  Segments* const kinds[] = {&given.detections, &given.instances, &given.ambiguous};
  Segments& kind = *kinds[bytes.upto(2)];
  if (kind.size == 0) return;
  const int64_t i = bytes.upto(kind.size - 1);
  const bool of_class = &kind != &given.ambiguous && bytes.one_in(2);
  int32_t& id = of_class ? kind.classes[i] : kind.videos[i];
  const int32_t kept = id;
  const int64_t most = of_class ? given.num_classes : given.num_videos;
  const int32_t wrong[] = {static_cast<int32_t>(most), INT32_MAX, INT32_MIN, -2};
  id = wrong[bytes.upto(3)];
  accepted(match_detections_cpu(params, 1), false);
  id = kept;
}

template <typename T>
void run(Bytes& bytes) {
  Case given(bytes);
  Array<int32_t> found_by = make_array<int32_t>(bytes, given.instances.size * given.num_thresholds);
  Array<int64_t> order = make_array<int64_t>(bytes, given.detections.size);
  Array<int64_t> offsets = make_array<int64_t>(bytes, given.num_classes + 1);
  MatchDetectionsParams params{};
  params.segments = given.detections.segments.data();
  params.scores = given.scores.data();
  params.videos = given.detections.videos.data();
  params.classes = given.detections.classes.data();
  params.true_segments = given.instances.segments.data();
  params.true_videos = given.instances.videos.data();
  params.true_classes = given.instances.classes.data();
  params.ambiguous_segments = given.ambiguous.segments.data();
  params.ambiguous_videos = given.ambiguous.videos.data();
  params.thresholds = given.thresholds.data();
  params.found_by = found_by.data();
  params.order = order.data();
  params.offsets = offsets.data();
  params.num_detections = given.detections.size;
  params.num_instances = given.instances.size;
  params.num_ambiguous = given.ambiguous.size;
  params.num_thresholds = given.num_thresholds;
  params.num_classes = given.num_classes;
  params.num_videos = given.num_videos;
  params.in_snippets = given.in_snippets;
  if (bytes.one_in(8)) return check_refusals(bytes, given, params);
  CHECK(match_detections_cpu(params, 1).ok());
  check_matches(given, params);
  check_precision(bytes, given, params);
  check_repeated(bytes, given);
  check_first(bytes, given);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(evaluation)
