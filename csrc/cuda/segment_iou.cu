#include "cuda/launch.cuh"
#include "gaufuse/segment_iou.h"

namespace gaufuse {
namespace {

template <typename T>
__global__ void segment_iou_kernel(const SegmentIouParams<T> params) {
  const int64_t pairs = params.groups * params.num_a * params.num_b;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < pairs;
       i += step) {
    const int64_t row = i / params.num_b;
    const int64_t group = row / params.num_a;
    const Segment a = load_segment(params.a, row);
    const Segment b = load_segment(params.b, group * params.num_b + i % params.num_b);
    params.iou[i] = static_cast<T>(segment_overlap(a, b, Overlap::iou, 0.0));
  }
}

}  // namespace

template <typename T>
Status segment_iou_cuda(const SegmentIouParams<T>& params, void* stream) {
  const int64_t pairs = params.groups * params.num_a * params.num_b;
  if (pairs == 0) return Status();
  constexpr int kBlock = 256;
  launch_kernel(segment_iou_kernel<T>, grid_for((pairs + kBlock - 1) / kBlock), kBlock, 0, stream,
                params);
  return launch_status("segment_iou");
}

template Status segment_iou_cuda(const SegmentIouParams<float>&, void*);
template Status segment_iou_cuda(const SegmentIouParams<double>&, void*);

}  // namespace gaufuse
