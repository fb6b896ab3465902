// csrc/bindings/module.cpp refers to the CPU kernels too; the emulated module never calls them.
#include "gaufuse/fuse_segments.h"
#include "gaufuse/interval_membership.h"
#include "gaufuse/linpro_labels.h"
#include "gaufuse/nms.h"
#include "gaufuse/segment_iou.h"
#include "gaufuse/segment_voting.h"
#include "gaufuse/soft_nms.h"
#include "gaufuse/threshold_proposals.h"
#include "gaufuse/weighted_segments_fusion.h"

namespace pybind11 {
class module_;
}

namespace gaufuse {

class Functions;
void bind_evaluation(pybind11::module_&, Functions&) {}  // has no CUDA kernels

#define ABSENT(function, Params)                                                   \
  template <typename T>                                                            \
  Status function(const Params<T>&, int) {                                         \
    return make_status(Code::invalid_argument, "no CPU kernels in the emulation"); \
  }                                                                                \
  template Status function(const Params<float>&, int);                             \
  template Status function(const Params<double>&, int);

ABSENT(fuse_segments_cpu, FuseSegmentsParams)
ABSENT(interval_membership_cpu, IntervalMembershipParams)
ABSENT(linpro_labels_cpu, LinproLabelsParams)
ABSENT(nms_cpu, NmsParams)
ABSENT(segment_iou_cpu, SegmentIouParams)
ABSENT(segment_voting_cpu, SegmentVotingParams)
ABSENT(soft_nms_cpu, SoftNmsParams)
ABSENT(threshold_proposals_cpu, ThresholdProposalsParams)
ABSENT(count_proposals_cpu, ThresholdProposalsParams)
ABSENT(weighted_segments_fusion_cpu, WeightedSegmentsFusionParams)

}  // namespace gaufuse
