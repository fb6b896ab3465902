// Multi-threshold proposals of activation sequences, scored by outer-inner contrast (method
// section 3, release conventions).
//
// Contract
// - For each threshold in the order given, every maximal run [s, e) of cas > threshold with
//   e - s >= min_length is a proposal, in the order of time. Stored: segment [s, e + 1], score
//   inner - outer, weight inner, where inner is the mean of snippets s..e (clipped) and outer the
//   mean of the ring around the run.
// - Thresholds compare in double against the exact value of the activation. Sums are in double; a
//   prefix sum is that of the tiles of kSumTile snippets before, in order, plus that of the tile's
//   own snippets so far.
// - Empty sequences (lengths[g] == 0) give a count of zero.
// - A group writes at most `capacity` proposals; counts[g] is the number written. With
//   capacity >= proposals_bound(...) nothing is ever dropped.
// - Padding is written as zeros. Results do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "gaufuse/fields.h"
#include "gaufuse/host_device.h"
#include "gaufuse/ring.h"
#include "gaufuse/status.h"

namespace gaufuse {

template <typename T>
struct ThresholdProposalsParams {
  const T* cas;              // (groups, num_snippets)
  const double* thresholds;  // (groups or 1, num_thresholds)
  const int64_t* lengths;    // (groups,) or null
  T* segments;               // (groups, capacity, 2)
  T* scores;                 // (groups, capacity)
  T* weights;                // (groups, capacity)
  int64_t* counts;           // (groups,)
  int32_t* workspace;        // CUDA only: proposals_workspace_words(...)
  int64_t groups;
  int64_t num_snippets;
  int64_t num_thresholds;
  int64_t capacity;
  int64_t min_length;
  double margin;
  double margin_power;
  bool thresholds_per_group;
  GAUFUSE_FIELDS(cas, thresholds, lengths, segments, scores, weights, counts, workspace, groups,
                 num_snippets, num_thresholds, capacity, min_length, margin, margin_power,
                 thresholds_per_group)
};

// Where the CUDA kernel keeps a group's prefix sums and the bits of cas > threshold: in shared
// memory what fits, the rest in a workspace of the caller's, of which each block has a part.
struct ProposalsLayout {
  int64_t words;         // of 32 snippets, for each threshold; a run may end right past the last
  int64_t prefix_bytes;  // num_snippets + 1 doubles
  int64_t above_bytes;   // num_thresholds * words, rounded up to doubles
  bool prefix_on_chip;
  bool above_on_chip;

  // 48 KiB are a block's without asking for more; the kernel has a few variables there, too.
  static constexpr int64_t kSharedBytes = 47 * 1024;

  GAUFUSE_HD int64_t shared_bytes() const {
    return (prefix_on_chip ? prefix_bytes : 0) + (above_on_chip ? above_bytes : 0);
  }

  // Of 32 bits, an even number; of a block.
  GAUFUSE_HD int64_t workspace_words() const {
    return (prefix_bytes + above_bytes - shared_bytes()) / 4;
  }

  // How many groups a block takes, a warp each; 0: too few fit, a group is for the whole block.
  GAUFUSE_HD int warps_per_block() const {
    if (!prefix_on_chip || !above_on_chip) return 0;
    const int64_t fit = kSharedBytes / shared_bytes();
    return fit < 4 ? 0 : (fit > 8 ? 8 : static_cast<int>(fit));
  }
};

GAUFUSE_HD ProposalsLayout proposals_layout(int64_t num_snippets, int64_t num_thresholds) {
  ProposalsLayout layout;
  layout.words = num_snippets / 32 + 1;
  layout.prefix_bytes = 8 * (num_snippets + 1);
  layout.above_bytes = (num_thresholds * layout.words + 1) / 2 * 8;
  const int64_t room = ProposalsLayout::kSharedBytes;
  layout.prefix_on_chip = layout.prefix_bytes <= room;
  layout.above_on_chip =
      layout.above_bytes <= room - (layout.prefix_on_chip ? layout.prefix_bytes : 0);
  return layout;
}

// With a workspace so many blocks stride over the groups: more would not be resident.
constexpr int64_t kProposalsBlocks = 1024;

GAUFUSE_HD int64_t proposals_workspace_words(int64_t groups, int64_t num_snippets,
                                             int64_t num_thresholds) {
  const int64_t blocks = groups < kProposalsBlocks ? groups : kProposalsBlocks;
  return blocks * proposals_layout(num_snippets, num_thresholds).workspace_words();
}

// Odd, so that threads that each walk through a tile of their own use different banks of shared
// memory.
constexpr int kSumTile = 33;

struct Contrast {
  double score;
  double inner;
};

// Outer-inner contrast of the run [start, end) from prefix sums (prefix[i] = sum of the first i).
GAUFUSE_HD Contrast outer_inner_contrast(const double* prefix, int64_t start, int64_t end,
                                         int64_t num_snippets, double reach) {
  const int64_t inner_stop = end + 1 < num_snippets ? end + 1 : num_snippets;
  const double inner =
      (prefix[inner_stop] - prefix[start]) / static_cast<double>(inner_stop - start);
  const Ring ring = make_ring(start, end, end + 1, num_snippets, reach);
  double outer_sum = 0.0;
  if (ring.left.size() > 0) outer_sum += prefix[ring.left.stop] - prefix[ring.left.start];
  if (ring.right.size() > 0) outer_sum += prefix[ring.right.stop] - prefix[ring.right.start];
  const int64_t outer_size = ring.left.size() + ring.right.size();
  const double outer = outer_size > 0 ? outer_sum / static_cast<double>(outer_size) : 0.0;
  return Contrast{inner - outer, inner};
}

// Writes only counts: how many proposals each group has, whatever the capacity.
template <typename T>
Status count_proposals_cpu(const ThresholdProposalsParams<T>& params, int threads);
template <typename T>
Status count_proposals_cuda(const ThresholdProposalsParams<T>& params, void* stream);
template <typename T>
Status threshold_proposals_cpu(const ThresholdProposalsParams<T>& params, int threads);
template <typename T>
Status threshold_proposals_cuda(const ThresholdProposalsParams<T>& params, void* stream);

}  // namespace gaufuse
