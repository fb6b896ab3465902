// Arrays of more than 2^32 items: what is written behind them is right. All but the last group
// share two megabytes of memory, mapped over and over: 100 GiB of addresses take 200 MiB.
//
// Not run by ctest: a few minutes. build/native/tests/native/large_arrays
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

#include "fuzz/check.h"
#include "gaufuse/interval_membership.h"
#include "gaufuse/linpro_labels.h"
#include "gaufuse/nms.h"
#include "gaufuse/segment_iou.h"
#include "gaufuse/threshold_proposals.h"

namespace gaufuse {
namespace {

constexpr size_t kTile = size_t(2) << 20;

// `shared` items or a few more, then `own` that are nobody else's; zeros.
template <typename T>
class LongArray {
 public:
  LongArray(int64_t shared, int64_t own) {
    const size_t own_bytes = round_up(sizeof(T) * static_cast<size_t>(own) + kTile);
    const size_t bytes = round_up(sizeof(T) * static_cast<size_t>(shared)) + own_bytes;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    begin_ = static_cast<char*>(memory);
    bytes_ = bytes;
    const int tile = memfd_create("tile", 0);
    CHECK(tile >= 0 && ftruncate(tile, kTile) == 0);
    for (size_t at = 0; at + own_bytes < bytes; at += kTile)
      CHECK(mmap(begin_ + at, kTile, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, tile, 0) !=
            MAP_FAILED);
    close(tile);
    // Items lie so that the own ones begin where the tiles end.
    const size_t tiles = bytes - own_bytes;
    data_ = reinterpret_cast<T*>(begin_ + tiles) - shared;
  }
  ~LongArray() { munmap(begin_, bytes_); }
  LongArray(const LongArray&) = delete;
  LongArray& operator=(const LongArray&) = delete;

  T* data() { return data_; }
  T& operator[](int64_t i) { return data_[i]; }

 private:
  static size_t round_up(size_t bytes) { return (bytes + kTile - 1) / kTile * kTile; }

  char* begin_;
  size_t bytes_;
  T* data_;
};

constexpr int64_t kGroups = 4097;
constexpr int64_t kCapacity = int64_t(1) << 20;
constexpr int64_t kLast = kGroups - 1;
constexpr int64_t kShared = kLast * kCapacity;  // 2^32

void check_nms() {
  LongArray<float> segments(2 * kShared, 2 * kCapacity);
  LongArray<float> scores(kShared, kCapacity);
  LongArray<int64_t> keep(kShared, kCapacity);
  LongArray<int64_t> counts(0, kGroups);
  counts[kLast] = 3;
  const float starts[] = {0.0f, 5.0f, 0.5f};
  for (int64_t i = 0; i < 3; ++i) {
    segments[2 * (kShared + i)] = starts[i];
    segments[2 * (kShared + i) + 1] = starts[i] + 4.0f;
    scores[kShared + i] = static_cast<float>(i + 1);
  }
  NmsParams<float> params{};
  params.segments = segments.data();
  params.scores = scores.data();
  params.counts = counts.data();
  params.keep = keep.data();
  params.groups = kGroups;
  params.capacity = kCapacity;
  params.iou_threshold = 0.5;
  CHECK(nms_cpu(params, 2).ok());
  CHECK(keep[kShared] == 2 && keep[kShared + 1] == 1 && keep[kShared + 2] == -1);
  CHECK(keep[kShared + kCapacity - 1] == -1);
}

void check_proposals_and_labels() {
  LongArray<float> cas(kShared, kCapacity);
  LongArray<float> labels(kShared, kCapacity);
  LongArray<int64_t> lengths(0, kGroups);
  LongArray<int64_t> counts(0, kGroups);
  LongArray<float> segments(0, 2 * kGroups);
  LongArray<float> scores(0, kGroups);
  LongArray<float> weights(0, kGroups);
  LongArray<double> figures(0, 3 * kGroups);
  LongArray<int64_t> numbers(0, 2 * kGroups);
  lengths[kLast] = kCapacity;
  cas[kShared + 1000] = 1.0f;
  const double threshold = 0.5;
  ThresholdProposalsParams<float> found{};
  found.cas = cas.data();
  found.thresholds = &threshold;
  found.lengths = lengths.data();
  found.segments = segments.data();
  found.scores = scores.data();
  found.weights = weights.data();
  found.counts = counts.data();
  found.groups = kGroups;
  found.num_snippets = kCapacity;
  found.num_thresholds = 1;
  found.capacity = 1;
  found.min_length = 1;
  found.margin_power = 1.0;
  CHECK(threshold_proposals_cpu(found, 2).ok());
  CHECK(counts[kLast] == 1 && counts[0] == 0);
  CHECK(segments[2 * kLast] == 1000.0f && segments[2 * kLast + 1] == 1002.0f);

  LinproLabelsParams<float> params{};
  params.segments = segments.data();
  params.scores = weights.data();
  params.counts = counts.data();
  params.lengths = lengths.data();
  params.labels = labels.data();
  params.figures = figures.data();
  params.numbers = numbers.data();
  params.groups = kGroups;
  params.capacity = 1;
  params.num_snippets = kCapacity;
  params.terms = LinproTerms{0.08, 0.04, 1.0, 0.0, 1e-3, true, false, Membership::mean, false};
  CHECK(linpro_labels_cpu(params, 2).ok());
  CHECK(labels[kShared + 999] == 0.0f && labels[kShared + 1000] == weights[kLast]);
  CHECK(labels[kShared + 1001] == weights[kLast] && labels[kShared + 1002] == 0.0f);
}

void check_membership() {
  const int64_t rows = 65537;
  LongArray<float> segments(0, 2 * rows);
  LongArray<float> matrix((rows - 1) * rows, rows);
  segments[2 * (rows - 1)] = 65530.0f;
  segments[2 * (rows - 1) + 1] = 70000.0f;
  IntervalMembershipParams<float> params{};
  params.segments = segments.data();
  params.matrix = matrix.data();
  params.groups = 1;
  params.capacity = rows;
  params.num_snippets = rows;
  params.mode = Membership::contrast;
  CHECK(interval_membership_cpu(params, 2).ok());
  const int64_t last = (rows - 1) * rows;
  for (int64_t t = 0; t < rows; ++t) CHECK(matrix[last + t] == (t >= 65530 ? 1.0f : 0.0f));
}

void check_iou() {
  const int64_t size = 65537;
  LongArray<float> segments(0, 2 * size);
  LongArray<float> iou((size - 1) * size, size);
  for (int64_t i = 0; i < size; ++i) {
    segments[2 * i] = static_cast<float>(i);
    segments[2 * i + 1] = static_cast<float>(i + 2);
  }
  SegmentIouParams<float> params{};
  params.a = params.b = segments.data();
  params.iou = iou.data();
  params.groups = 1;
  params.num_a = params.num_b = size;
  CHECK(segment_iou_cpu(params, 2).ok());
  const int64_t last = size * size - 1;
  CHECK(iou[last] == 1.0f && iou[last - 1] == 1.0f / 3.0f && iou[last - 2] == 0.0f);
}

}  // namespace
}  // namespace gaufuse

int main() {
  gaufuse::check_membership();
  gaufuse::check_iou();
  gaufuse::check_proposals_and_labels();
  gaufuse::check_nms();
  std::puts("right beyond 2^32 items");
  return 0;
}
