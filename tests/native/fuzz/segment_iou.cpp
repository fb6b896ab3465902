// segment_iou: its definition to the bit, in [0, 1], the same in both directions.
#include "gaufuse/segment_iou.h"

#include "fuzz/harness.h"
#include "fuzz/scored_groups.h"

namespace gaufuse {
namespace {

template <typename T>
void run(Bytes& bytes) {
  const GroupSizes sizes = draw_sizes(bytes);
  const int64_t num_b = bytes.upto(20);
  bool valid = true;
  const Array<T> a = draw_segments<T>(bytes, sizes.groups, sizes.capacity, nullptr, valid);
  const Array<T> b = draw_segments<T>(bytes, sizes.groups, num_b, nullptr, valid);
  const bool aliased = bytes.one_in(4);  // a with itself
  SegmentIouParams<T> params{};
  params.a = a.data();
  params.b = aliased ? a.data() : b.data();
  params.groups = sizes.groups;
  params.num_a = sizes.capacity;
  params.num_b = aliased ? sizes.capacity : num_b;
  Array<T> iou = make_array<T>(bytes, params.groups * params.num_a * params.num_b);
  params.iou = iou.data();
  if (aliased) {
    valid = true;
    for (int64_t i = 0; i < a.size(); i += 2) valid &= is_segment(a[i], a[i + 1]);
  }
  if (!accepted(segment_iou_cpu(params, 1), valid)) return;
  for (int64_t g = 0; g < params.groups; ++g)
    for (int64_t i = 0; i < params.num_a; ++i)
      for (int64_t j = 0; j < params.num_b; ++j) {
        const Segment first = load_segment(params.a, g * params.num_a + i);
        const Segment second = load_segment(params.b, g * params.num_b + j);
        const T found = iou[(g * params.num_a + i) * params.num_b + j];
        CHECK(found == static_cast<T>(iou_of(first, second, 0.0)));
        CHECK(found == static_cast<T>(iou_of(second, first, 0.0)));
        CHECK(found >= T(0) && found <= T(1));
      }
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(segment_iou)
