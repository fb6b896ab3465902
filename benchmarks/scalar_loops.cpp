// Plain double loops for NMS and soft-NMS, as ActionFormer's CPU extension has them: the baseline that
// the vectorised kernels have to beat. Not part of the package; kernels.py compiles it with -O2.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace {

float iou(const float* a, const float* b) {
  const float shared = std::max(0.0f, std::min(a[1], b[1]) - std::max(a[0], b[0]));
  const float joint = (a[1] - a[0]) + (b[1] - b[0]) - shared;
  return joint > 0.0f ? shared / joint : 0.0f;
}

}  // namespace

// keep (groups, count): indices by descending score, then -1.
extern "C" void scalar_nms(const float* segments, const float* scores, int64_t groups,
                           int64_t count, float iou_threshold, int64_t* keep) {
  std::vector<int64_t> order(count);
  std::vector<char> dropped(count);
  for (int64_t g = 0; g < groups; ++g, segments += 2 * count, scores += count, keep += count) {
    std::iota(order.begin(), order.end(), int64_t(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t i, int64_t j) { return scores[i] > scores[j]; });
    std::fill(dropped.begin(), dropped.end(), 0);
    int64_t kept = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (dropped[i]) continue;
      keep[kept++] = order[i];
      const float* pivot = segments + 2 * order[i];
      for (int64_t j = i + 1; j < count; ++j)
        if (!dropped[j] && iou(pivot, segments + 2 * order[j]) >= iou_threshold) dropped[j] = 1;
    }
    std::fill(keep + kept, keep + count, int64_t(-1));
  }
}

// Gaussian decay. keep, kept_scores (groups, count): in the order taken, then -1 and 0.
extern "C" void scalar_soft_nms(const float* segments, const float* scores, int64_t groups,
                                int64_t count, float sigma, float min_score, int64_t* keep,
                                float* kept_scores) {
  struct Item {
    float segment[2];
    float score;
    int64_t index;
  };
  std::vector<Item> items(count);
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t i = 0; i < count; ++i)
      items[i] = Item{{segments[2 * i], segments[2 * i + 1]}, scores[i], i};
    int64_t left = count;
    int64_t taken = 0;
    while (taken < left) {
      int64_t best = taken;
      for (int64_t j = taken + 1; j < left; ++j)
        if (items[j].score > items[best].score) best = j;
      std::swap(items[taken], items[best]);
      const Item& pivot = items[taken];
      keep[taken] = pivot.index;
      kept_scores[taken] = pivot.score;
      ++taken;
      for (int64_t j = taken; j < left;) {
        const float overlap = iou(pivot.segment, items[j].segment);
        items[j].score *= std::exp(-(overlap * overlap) / sigma);
        if (items[j].score < min_score)
          items[j] = items[--left];
        else
          ++j;
      }
    }
    std::fill(keep + taken, keep + count, int64_t(-1));
    std::fill(kept_scores + taken, kept_scores + count, 0.0f);
    segments += 2 * count;
    scores += count;
    keep += count;
    kept_scores += count;
  }
}
