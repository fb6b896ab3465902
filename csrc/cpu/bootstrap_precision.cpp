#include "gaufuse/bootstrap_precision.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/id_groups.h"
#include "cpu/multiversion.h"
#include "cpu/parallel.h"
#include "cpu/ranked_detections.h"

namespace gaufuse {
namespace {

constexpr int64_t kSamples = 32;  // at a time

// The weights of kSamples samples, video by video.
using Lanes = int32_t[kSamples];

struct Hit {  // a detection that found an instance at the threshold at hand
  int32_t rank;
  int32_t video;
};

struct Scratch {
  std::vector<int32_t> ranks;          // (num_detections) of the detections that found any
  std::vector<std::vector<Hit>> hits;  // by threshold, by rank
  std::vector<int32_t> snapshot_of;    // (detections of the class) or -1
  std::vector<int32_t> totals;         // (snapshots, kSamples) detections so far
  std::vector<double> precision;       // (hits, kSamples)
};

GAUFUSE_MULTIVERSION void count_detections(const int64_t* order, const int32_t* videos,
                                           const int32_t* snapshot_of, int64_t count,
                                           const Lanes* weights, Lanes* totals) {
  Lanes sum = {};
  for (int64_t i = 0; i < count; ++i) {
    const int32_t* own = weights[videos[order[i]]];
    for (int64_t b = 0; b < kSamples; ++b) sum[b] += own[b];
    if (snapshot_of[i] >= 0) std::copy_n(sum, kSamples, totals[snapshot_of[i]]);
  }
}

GAUFUSE_MULTIVERSION void area_of(const std::vector<Hit>& hits, const int32_t* snapshot_of,
                                  const Lanes* weights, const Lanes* totals,
                                  const double* instances, double* precision, double* area) {
  Lanes positives = {};
  for (size_t k = 0; k < hits.size(); ++k) {
    const int32_t* own = weights[hits[k].video];
    const int32_t* total = totals[snapshot_of[hits[k].rank]];
    for (int64_t b = 0; b < kSamples; ++b) {
      positives[b] += own[b];
      // Nothing drawn so far: 0 / 1.
      precision[k * kSamples + b] = static_cast<double>(positives[b]) / std::max(total[b], 1);
    }
  }
  double envelope[kSamples] = {};
  double sum[kSamples] = {};
  for (size_t k = hits.size(); k > 0; --k) {
    const int32_t* own = weights[hits[k - 1].video];
    const double* here = precision + (k - 1) * kSamples;
    for (int64_t b = 0; b < kSamples; ++b) {
      envelope[b] = envelope[b] > here[b] ? envelope[b] : here[b];
      sum[b] += envelope[b] * own[b];
    }
  }
  for (int64_t b = 0; b < kSamples; ++b)
    area[b] = instances[b] > 0.0 ? sum[b] / instances[b] : std::numeric_limits<double>::quiet_NaN();
}

void find_hits(const BootstrapPrecisionParams& params, const IdGroups& instances, int64_t c,
               Scratch& scratch) {
  const int64_t first = params.offsets[c];
  const int64_t count = params.offsets[c + 1] - first;
  scratch.ranks.resize(params.num_detections);
  for (int64_t i = 0; i < count; ++i)
    scratch.ranks[params.order[first + i]] = static_cast<int32_t>(i);
  scratch.snapshot_of.assign(count, -1);
  scratch.hits.resize(params.num_thresholds);
  int32_t snapshots = 0;
  for (int64_t h = 0; h < params.num_thresholds; ++h) {
    std::vector<Hit>& hits = scratch.hits[h];
    hits.clear();
    for (int64_t k = 0; k < instances.count(c); ++k) {
      const int32_t d = params.found_by[instances.begin(c)[k] * params.num_thresholds + h];
      if (d < 0) continue;
      const int32_t rank = scratch.ranks[d];
      hits.push_back(Hit{rank, params.videos[d]});
      if (scratch.snapshot_of[rank] < 0) scratch.snapshot_of[rank] = snapshots++;
    }
    std::sort(hits.begin(), hits.end(), [](Hit a, Hit b) { return a.rank < b.rank; });
  }
  scratch.totals.resize(snapshots * kSamples);
  scratch.precision.resize(instances.count(c) * kSamples);
}

void resample_class(const BootstrapPrecisionParams& params, const IdGroups& instances, int64_t c,
                    const std::vector<std::vector<int32_t>>& blocks, Scratch& scratch) {
  find_hits(params, instances, c, scratch);
  const int64_t first = params.offsets[c];
  for (size_t block = 0; block < blocks.size(); ++block) {
    const Lanes* weights = reinterpret_cast<const Lanes*>(blocks[block].data());
    Lanes* totals = reinterpret_cast<Lanes*>(scratch.totals.data());
    count_detections(params.order + first, params.videos, scratch.snapshot_of.data(),
                     params.offsets[c + 1] - first, weights, totals);
    double present[kSamples] = {};
    for (int64_t k = 0; k < instances.count(c); ++k)
      for (int64_t b = 0; b < kSamples; ++b)
        present[b] += weights[params.true_videos[instances.begin(c)[k]]][b];
    const int64_t begin = static_cast<int64_t>(block) * kSamples;
    const int64_t size = std::min(kSamples, params.num_samples - begin);
    for (int64_t h = 0; h < params.num_thresholds; ++h) {
      double area[kSamples];
      area_of(scratch.hits[h], scratch.snapshot_of.data(), weights, totals, present,
              scratch.precision.data(), area);
      std::copy_n(area, size,
                  params.precision + (c * params.num_thresholds + h) * params.num_samples + begin);
    }
  }
}

// The weights of every kSamples samples together; zeros after the last.
std::vector<std::vector<int32_t>> blocks_of(const BootstrapPrecisionParams& params) {
  std::vector<std::vector<int32_t>> blocks((params.num_samples + kSamples - 1) / kSamples);
  for (std::vector<int32_t>& block : blocks) block.assign(params.num_videos * kSamples, 0);
  for (int64_t v = 0; v < params.num_videos; ++v)
    for (int64_t s = 0; s < params.num_samples; ++s)
      blocks[s / kSamples][v * kSamples + s % kSamples] =
          params.weights[v * params.num_samples + s];
  return blocks;
}

Status check(const BootstrapPrecisionParams& p) {
  GAUFUSE_RETURN_IF_BAD(check_ranked(p));
  GAUFUSE_RETURN_IF_BAD(check_ids("videos", p.videos, p.num_detections, 0, p.num_videos));
  GAUFUSE_RETURN_IF_BAD(check_ids("true_videos", p.true_videos, p.num_instances, 0, p.num_videos));
  for (int64_t k = 0; k < p.num_instances; ++k)
    for (int64_t h = 0; h < p.num_thresholds; ++h) {
      const int32_t d = p.found_by[k * p.num_thresholds + h];
      if (d >= 0 && p.videos[d] != p.true_videos[k])
        return make_status(Code::invalid_argument, "found_by[%lld] is a detection of another video",
                           static_cast<long long>(k));
    }
  return Status();
}

}  // namespace

Status bootstrap_precision_cpu(const BootstrapPrecisionParams& params, int threads) {
  GAUFUSE_RETURN_IF_BAD(check(params));
  const IdGroups instances =
      group_by_id(params.true_classes, params.num_instances, params.num_classes);
  const std::vector<std::vector<int32_t>> blocks = blocks_of(params);
  std::vector<int64_t> counts(params.num_classes);
  for (int64_t c = 0; c < params.num_classes; ++c)
    counts[c] = params.offsets[c + 1] - params.offsets[c];
  parallel_for_groups(
      params.num_classes, counts.data(), params.num_detections, params.num_samples, threads,
      [&](int64_t c) { resample_class(params, instances, c, blocks, thread_scratch<Scratch>()); });
  return Status();
}

}  // namespace gaufuse
