#include <type_traits>

#include "cuda/block_reduce.cuh"
#include "cuda/launch.cuh"
#include "gaufuse/groups.h"
#include "gaufuse/soft_nms.h"

namespace gaufuse {
namespace {

constexpr int kItems = 4;  // segments a thread keeps in registers

// The score of a segment that is selected or dropped.
__device__ __forceinline__ double gone() { return -INFINITY; }

template <typename T>
__device__ __forceinline__ Segment load_segment(const T* segments, int64_t index) {
  return Segment{static_cast<double>(segments[2 * index]),
                 static_cast<double>(segments[2 * index + 1])};
}

// Segments and remaining scores of a group of at most BLOCK * kItems: in registers.
template <typename T, int BLOCK>
struct RegisterItems {
  Segment segment[kItems];
  double score[kItems];

  __device__ RegisterItems(const SoftNmsParams<T>& params, int64_t group, int64_t count) {
#pragma unroll
    for (int item = 0; item < kItems; ++item) {
      const int64_t j = threadIdx.x + item * BLOCK;
      const bool valid = j < count;
      const int64_t at = group * params.capacity + j;
      segment[item] = valid ? load_segment(params.segments, at) : Segment{0.0, 0.0};
      score[item] = valid ? static_cast<double>(params.scores[at]) : gone();
    }
  }

  // Calls visit(index, segment, score), which returns the new score, for what is not gone.
  template <typename Visit>
  __device__ void each(Visit visit) {
#pragma unroll
    for (int item = 0; item < kItems; ++item)
      if (score[item] != gone())
        score[item] = visit(threadIdx.x + item * BLOCK, segment[item], score[item]);
  }
};

// The same of larger groups: in memory, remaining scores in the workspace.
template <typename T, int BLOCK>
struct MemoryItems {
  const T* segments;
  double* remaining;
  int64_t count;

  __device__ MemoryItems(const SoftNmsParams<T>& params, int64_t group, int64_t count)
      : segments(params.segments + 2 * group * params.capacity),
        remaining(params.remaining + group * params.capacity),
        count(count) {
    for (int64_t j = threadIdx.x; j < count; j += BLOCK)
      remaining[j] = static_cast<double>(params.scores[group * params.capacity + j]);
  }

  template <typename Visit>
  __device__ void each(Visit visit) {
    for (int64_t j = threadIdx.x; j < count; j += BLOCK) {
      const double before = remaining[j];
      if (before == gone()) continue;
      const double after = visit(j, load_segment(segments, j), before);
      if (after != before) remaining[j] = after;
    }
  }
};

// One block per group; as in nms.cu, a round selects the best remaining segment and in one pass
// decays the others and finds the next best. Thread t owns segments t, t + BLOCK, ...
template <typename T, int BLOCK, template <typename, int> class Items>
__global__ void __launch_bounds__(BLOCK) soft_nms_kernel(const SoftNmsParams<T> params) {
  __shared__ Best shared_best[2 * (BLOCK / 32)];
  const double inverse_sigma = 1.0 / params.sigma;
  int turn = 0;

  for (int64_t group = blockIdx.x; group < params.groups; group += gridDim.x) {
    const int64_t count = valid_count(params.counts, group, params.capacity);
    const int64_t most = count < params.max_output ? count : params.max_output;
    const T* segments = params.segments + 2 * group * params.capacity;
    int64_t* keep = params.keep + group * params.capacity;
    T* kept_scores = params.kept_scores + group * params.capacity;

    Items<T, BLOCK> items(params, group, count);
    Best mine = no_segment();
    items.each([&](int64_t j, Segment, double score) {
      mine = better(mine, Best{score, j});
      return score;
    });
    Best pivot = best_of_block<BLOCK>(mine, shared_best, turn++);

    int64_t selected = 0;
    while (selected < most && pivot.index >= 0) {
      if (threadIdx.x == 0) {
        keep[selected] = pivot.index;
        kept_scores[selected] = static_cast<T>(pivot.score);
      }
      ++selected;
      const Segment best = load_segment(segments, pivot.index);
      mine = no_segment();
      items.each([&](int64_t j, Segment segment, double score) {
        if (j == pivot.index) return gone();
        const double iou = segment_overlap(best, segment, Overlap::iou, 0.0);
        if (iou > 0.0)  // otherwise the weight is 1
          score *= params.decay == Decay::gaussian ? gaussian_decay(iou, inverse_sigma)
                                                   : linear_decay(iou, params.iou_threshold);
        if (!(score >= params.min_score)) return gone();
        mine = better(mine, Best{score, j});
        return score;
      });
      pivot = best_of_block<BLOCK>(mine, shared_best, turn++);
    }

    if (threadIdx.x == 0) params.kept_counts[group] = selected;
    for (int64_t k = selected + threadIdx.x; k < params.capacity; k += BLOCK) {
      keep[k] = -1;
      kept_scores[k] = T(0);
    }
  }
}

template <typename T, int BLOCK, template <typename, int> class Items>
void launch_soft_nms(const SoftNmsParams<T>& params, void* stream) {
  launch_kernel(soft_nms_kernel<T, BLOCK, Items>, grid_for(params.groups), BLOCK, 0, stream,
                params);
}

}  // namespace

template <typename T>
Status soft_nms_cuda(const SoftNmsParams<T>& params, void* stream) {
  if (params.groups == 0) return Status();
  if (params.capacity <= 32 * kItems)
    launch_soft_nms<T, 32, RegisterItems>(params, stream);
  else if (params.capacity <= 128 * kItems)
    launch_soft_nms<T, 128, RegisterItems>(params, stream);
  else if (params.capacity <= 512 * kItems)
    launch_soft_nms<T, 512, RegisterItems>(params, stream);
  else
    launch_soft_nms<T, 512, MemoryItems>(params, stream);
  return launch_status("soft_nms");
}

template Status soft_nms_cuda(const SoftNmsParams<float>&, void*);
template Status soft_nms_cuda(const SoftNmsParams<double>&, void*);

}  // namespace gaufuse
