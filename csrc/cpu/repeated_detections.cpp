#include "gaufuse/repeated_detections.h"

#include <cstring>
#include <vector>

#include "cpu/check_values.h"
#include "cpu/id_groups.h"
#include "cpu/parallel.h"

namespace gaufuse {
namespace {

uint64_t bits_of(double value) {
  value += 0.0;  // -0 is 0
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

uint64_t mixed(uint64_t hash, uint64_t bits) {
  hash = (hash ^ bits) * 0x9e3779b97f4a7c15ull;
  return hash ^ (hash >> 32);
}

uint64_t hash_of(const RepeatedDetectionsParams& params, int64_t d) {
  uint64_t hash = mixed(0, static_cast<uint32_t>(params.classes[d]));
  hash = mixed(hash, bits_of(params.segments[2 * d]));
  hash = mixed(hash, bits_of(params.segments[2 * d + 1]));
  return mixed(hash, bits_of(params.scores[d]));
}

bool equal(const RepeatedDetectionsParams& params, int64_t a, int64_t b) {
  return params.classes[a] == params.classes[b] && params.scores[a] == params.scores[b] &&
         params.segments[2 * a] == params.segments[2 * b] &&
         params.segments[2 * a + 1] == params.segments[2 * b + 1];
}

// Open addressing: each place holds a detection or -1.
void mark_video(const RepeatedDetectionsParams& params, const int32_t* members, int64_t count,
                std::vector<int32_t>& places) {
  uint64_t size = 4;
  while (size < 2 * static_cast<uint64_t>(count)) size *= 2;
  places.assign(size, -1);
  for (int64_t i = 0; i < count; ++i) {
    const int32_t d = members[i];
    uint64_t place = hash_of(params, d) & (size - 1);
    while (places[place] >= 0 && !equal(params, places[place], d)) place = (place + 1) & (size - 1);
    params.repeated[d] = places[place] >= 0;
    if (places[place] < 0) places[place] = d;
  }
}

}  // namespace

Status repeated_detections_cpu(const RepeatedDetectionsParams& params, int threads) {
  GAUFUSE_RETURN_IF_BAD(
      check_ids("videos", params.videos, params.num_detections, 0, params.num_videos));
  // By video: its detections lie together in most files.
  const IdGroups groups = group_by_id(params.videos, params.num_detections, params.num_videos);
  const std::vector<int64_t> counts = counts_of(groups);
  parallel_for_groups(params.num_videos, counts.data(), params.num_detections, 16, threads,
                      [&](int64_t v) {
                        mark_video(params, groups.begin(v), groups.count(v),
                                   thread_scratch<std::vector<int32_t>>());
                      });
  return Status();
}

}  // namespace gaufuse
