#include "gaufuse/segment_iou.h"

#include "cpu/check_values.h"
#include "cpu/parallel.h"

namespace gaufuse {

template <typename T>
Status segment_iou_cpu(const SegmentIouParams<T>& params, int threads) {
  for (int64_t g = 0; g < params.groups; ++g) {
    GAUFUSE_RETURN_IF_BAD(check_segments("a", params.a + 2 * g * params.num_a, params.num_a, g));
    GAUFUSE_RETURN_IF_BAD(check_segments("b", params.b + 2 * g * params.num_b, params.num_b, g));
  }
  const int64_t rows = params.groups * params.num_a;
  parallel_for(rows, grain_for(params.num_b), threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* others = params.b + 2 * (r / params.num_a) * params.num_b;
      const Segment a{static_cast<double>(params.a[2 * r]),
                      static_cast<double>(params.a[2 * r + 1])};
      for (int64_t j = 0; j < params.num_b; ++j) {
        const Segment b{static_cast<double>(others[2 * j]), static_cast<double>(others[2 * j + 1])};
        params.iou[r * params.num_b + j] = static_cast<T>(segment_overlap(a, b, Overlap::iou, 0.0));
      }
    }
  });
  return Status();
}

template Status segment_iou_cpu(const SegmentIouParams<float>&, int);
template Status segment_iou_cpu(const SegmentIouParams<double>&, int);

}  // namespace gaufuse
