#include "cuda/launch.cuh"
#include "gaufuse/segment_iou.h"

namespace gaufuse {
namespace {

constexpr int kBlock = 256;
constexpr int64_t kBlockColumns = 2048;  // of a row

// A block takes kBlockColumns of one row, or of several short rows, `width` threads a row: threads
// side by side write elements side by side, and nothing is divided for an element.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    segment_iou_kernel(const SegmentIouParams<T> params, int width) {
  const int64_t parts = (params.num_b + kBlockColumns - 1) / kBlockColumns;
  const int64_t rows = params.groups * params.num_a;
  const int64_t block_rows = kBlock / width;
  for (int64_t task = blockIdx.x; task * block_rows < rows * parts; task += gridDim.x) {
    const int64_t row = task / parts * block_rows + static_cast<int>(threadIdx.x) / width;
    if (row >= rows) continue;
    const int64_t first = task % parts * kBlockColumns;
    const int64_t end = params.num_b - first < kBlockColumns ? params.num_b : first + kBlockColumns;
    const Segment a = load_segment(params.a, row);
    const T* b = params.b + 2 * (row / params.num_a * params.num_b);
    T* iou = params.iou + row * params.num_b;
    for (int64_t k = first + static_cast<int>(threadIdx.x) % width; k < end; k += width)
      iou[k] = static_cast<T>(segment_overlap(a, load_segment(b, k), Overlap::iou, 0.0));
  }
}

}  // namespace

template <typename T>
Status segment_iou_cuda(const SegmentIouParams<T>& params, void* stream) {
  const int64_t rows = params.groups * params.num_a;
  if (rows * params.num_b == 0) return Status();
  int width = 1;
  while (width < kBlock && width < params.num_b) width *= 2;
  const int64_t parts = (params.num_b + kBlockColumns - 1) / kBlockColumns;
  const int64_t block_rows = kBlock / width;
  launch_kernel(segment_iou_kernel<T>, grid_for((rows + block_rows - 1) / block_rows * parts),
                kBlock, 0, stream, params, width);
  return launch_status("segment_iou");
}

template Status segment_iou_cuda(const SegmentIouParams<float>&, void*);
template Status segment_iou_cuda(const SegmentIouParams<double>&, void*);

}  // namespace gaufuse
