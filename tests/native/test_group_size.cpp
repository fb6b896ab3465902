// Groups of more segments than int32 can number are refused before anything of them is read.
#include <cstring>

#include "fuzz/check.h"
#include "gaufuse/fuse_segments.h"
#include "gaufuse/nms.h"
#include "gaufuse/soft_nms.h"
#include "gaufuse/weighted_segments_fusion.h"

namespace gaufuse {
namespace {

template <typename Params, typename Operation>
void check_refused(Params params, Operation operation) {
  params.groups = 1;
  params.capacity = (int64_t(1) << 30) + 1;
  const Status status = operation(params, 1);
  CHECK(status.code == Code::invalid_argument);
  CHECK(std::strstr(status.message, "at most 1073741824 segments, got 1073741825"));
}

}  // namespace
}  // namespace gaufuse

int main() {
  using namespace gaufuse;
  check_refused(NmsParams<float>{}, nms_cpu<float>);
  check_refused(SoftNmsParams<float>{}, soft_nms_cpu<float>);
  check_refused(FuseSegmentsParams<float>{}, fuse_segments_cpu<float>);
  check_refused(WeightedSegmentsFusionParams<float>{}, weighted_segments_fusion_cpu<float>);
  return 0;
}
