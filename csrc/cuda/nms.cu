#include <type_traits>

#include "cuda/block_reduce.cuh"
#include "cuda/launch.cuh"
#include "gaufuse/groups.h"
#include "gaufuse/nms.h"

namespace gaufuse {
namespace {

// One block per group; as in fuse_segments.cu, a round keeps the best remaining segment and in one
// pass drops what it suppresses and finds the next best. Thread t owns segments t, t + BLOCK, ...
template <typename T, int BLOCK>
__global__ void __launch_bounds__(BLOCK) nms_kernel(const NmsParams<T> params) {
  __shared__ Best shared_best[BLOCK / 32 + 1];

  for (int64_t group = blockIdx.x; group < params.groups; group += gridDim.x) {
    const int64_t count = valid_count(params.counts, group, params.capacity);
    const T* segments = params.segments + 2 * group * params.capacity;
    const T* scores = params.scores + group * params.capacity;
    int64_t* keep = params.keep + group * params.capacity;
    uint8_t* alive = params.alive + group * params.capacity;

    Best mine = no_segment();
    for (int64_t j = threadIdx.x; j < count; j += BLOCK) {
      alive[j] = 1;
      mine = better(mine, Best{static_cast<double>(scores[j]), j});
    }
    Best pivot = block_reduce<BLOCK>(mine, shared_best, MergeBest());

    int64_t kept = 0;
    for (; pivot.index >= 0; ++kept) {
      if (threadIdx.x == 0) keep[kept] = pivot.index;
      const Segment best{static_cast<double>(segments[2 * pivot.index]),
                         static_cast<double>(segments[2 * pivot.index + 1])};
      mine = no_segment();
      for (int64_t j = threadIdx.x; j < count; j += BLOCK) {
        if (!alive[j]) continue;
        const Segment candidate{static_cast<double>(segments[2 * j]),
                                static_cast<double>(segments[2 * j + 1])};
        const bool drop = j == pivot.index || segment_overlap(best, candidate, Overlap::iou, 0.0) >=
                                                  params.iou_threshold;
        if (drop)
          alive[j] = 0;
        else
          mine = better(mine, Best{static_cast<double>(scores[j]), j});
      }
      pivot = block_reduce<BLOCK>(mine, shared_best, MergeBest());
    }
    for (int64_t k = kept + threadIdx.x; k < params.capacity; k += BLOCK) keep[k] = -1;
  }
}

}  // namespace

template <typename T>
Status nms_cuda(const NmsParams<T>& params, void* stream) {
  if (params.groups == 0) return Status();
  dispatch_block_size(params.capacity, [&](auto block) {
    launch_kernel(nms_kernel<T, block.value>, grid_for(params.groups), block.value, 0, stream,
                  params);
  });
  return launch_status("nms");
}

template Status nms_cuda(const NmsParams<float>&, void*);
template Status nms_cuda(const NmsParams<double>&, void*);

}  // namespace gaufuse
