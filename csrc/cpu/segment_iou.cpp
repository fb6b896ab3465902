#include "gaufuse/segment_iou.h"

#include <vector>

#include "cpu/check_values.h"
#include "cpu/lanes.h"
#include "cpu/multiversion.h"
#include "cpu/parallel.h"

namespace gaufuse {
namespace {

GAUFUSE_MULTIVERSION void iou_row(Segment a, const double* __restrict starts,
                                  const double* __restrict ends, float* __restrict iou,
                                  int64_t size) {
  for (int64_t j = 0; j < size; ++j)
    iou[j] = static_cast<float>(iou_without_branches(a, starts[j], ends[j], 0.0));
}

GAUFUSE_MULTIVERSION void iou_row(Segment a, const double* __restrict starts,
                                  const double* __restrict ends, double* __restrict iou,
                                  int64_t size) {
  for (int64_t j = 0; j < size; ++j) iou[j] = iou_without_branches(a, starts[j], ends[j], 0.0);
}

// The segments of b in the group at hand.
struct Scratch {
  std::vector<double> starts;
  std::vector<double> ends;
};

template <typename T>
void load(const SegmentIouParams<T>& params, int64_t group, Scratch& scratch) {
  const T* segments = params.b + 2 * group * params.num_b;
  scratch.starts.resize(params.num_b);
  scratch.ends.resize(params.num_b);
  for (int64_t j = 0; j < params.num_b; ++j) {
    scratch.starts[j] = static_cast<double>(segments[2 * j]);
    scratch.ends[j] = static_cast<double>(segments[2 * j + 1]);
  }
}

}  // namespace

template <typename T>
Status segment_iou_cpu(const SegmentIouParams<T>& params, int threads) {
  for (int64_t g = 0; g < params.groups; ++g) {
    GAUFUSE_RETURN_IF_BAD(check_segments("a", params.a + 2 * g * params.num_a, params.num_a, g));
    GAUFUSE_RETURN_IF_BAD(check_segments("b", params.b + 2 * g * params.num_b, params.num_b, g));
  }
  const int64_t rows = params.groups * params.num_a;
  parallel_for(rows, grain_for(params.num_b), threads, [&](int64_t begin, int64_t end) {
    Scratch& scratch = thread_scratch<Scratch>();
    for (int64_t row = begin; row < end; ++row) {
      if (row == begin || row % params.num_a == 0) load(params, row / params.num_a, scratch);
      const Segment a = load_segment(params.a, row);
      iou_row(a, scratch.starts.data(), scratch.ends.data(), params.iou + row * params.num_b,
              params.num_b);
    }
  });
  return Status();
}

template Status segment_iou_cpu(const SegmentIouParams<float>&, int);
template Status segment_iou_cpu(const SegmentIouParams<double>&, int);

}  // namespace gaufuse
