#include "cuda/team.cuh"
#include "cuda/wide_stores.cuh"
#include "gaufuse/groups.h"
#include "gaufuse/threshold_proposals.h"

namespace gaufuse {
namespace {

constexpr int kBlock = 256;

// What a team keeps of its group, in shared memory as far as it fits (ProposalsLayout).
struct GroupStorage {
  double* prefix;   // (num_snippets + 1,): prefix[0] is 0, then snippets, then their prefix sums
  uint32_t* above;  // (num_thresholds, words): bits of cas > threshold
};

template <typename T>
__device__ GroupStorage storage_of(const ThresholdProposalsParams<T>& params,
                                   const ProposalsLayout& layout, int team) {
  char* shared = dynamic_shared<char>() + team * layout.shared_bytes();
  char* memory = reinterpret_cast<char*>(params.workspace + blockIdx.x * layout.workspace_words());
  GroupStorage storage;
  storage.prefix = reinterpret_cast<double*>(layout.prefix_on_chip ? shared : memory);
  if (layout.prefix_on_chip)
    shared += layout.prefix_bytes;
  else
    memory += layout.prefix_bytes;
  storage.above = reinterpret_cast<uint32_t*>(layout.above_on_chip ? shared : memory);
  return storage;
}

// Where the run began that ends before bit `end` of word `w` of a threshold's bits.
__device__ __forceinline__ int64_t run_start(const uint32_t* above, int64_t w, int end) {
  const uint32_t zeros = ~above[w] & ((1u << end) - 1u);
  if (zeros != 0u) return 32 * w + 32 - __clz(static_cast<int>(zeros));
  for (--w; w >= 0; --w)
    if (above[w] != 0xffffffffu) return 32 * w + 32 - __clz(static_cast<int>(~above[w]));
  return 0;
}

// Calls found(start, end) for the runs of at least min_length that end in word w of a threshold's
// bits, in the order of time.
template <typename Found>
__device__ __forceinline__ void runs_ending_in(const uint32_t* above, int64_t w, int64_t min_length,
                                               Found found) {
  const uint32_t bits = above[w];
  const uint32_t last = w > 0 ? above[w - 1] >> 31 : 0u;
  for (uint32_t ends = ~bits & ((bits << 1) | last); ends != 0u; ends &= ends - 1u) {
    const int end = __ffs(static_cast<int>(ends)) - 1;
    const int64_t start = run_start(above, w, end);
    if (32 * w + end - start >= min_length) found(start, 32 * w + end);
  }
}

// Turns values[1 ..= size] into their prefix sums, a tile a thread.
template <typename ThisTeam>
__device__ void sum_up(double* values, int64_t size, const ThisTeam& team) {
  const int64_t tiles = (size + kSumTile - 1) / kSumTile;
  double before = 0.0;  // the sum of the tiles of earlier rounds
  for (int64_t first = 0; first < tiles; first += team.size) {
    const int64_t start = (first + team.rank()) * kSumTile;
    const int64_t end = start + kSumTile < size ? start + kSumTile : size;
    double sum = 0.0;
    for (int64_t t = start; t < end; ++t) values[t + 1] = sum += values[t + 1];
    team.sync();
    double own_before = before;
    const int here = tiles - first < team.size ? static_cast<int>(tiles - first) : team.size;
    for (int tile = 0; tile < here; ++tile) {
      if (tile == team.rank()) own_before = before;
      const int64_t last = (first + tile + 1) * kSumTile;
      before += values[last < size ? last : size];
    }
    team.sync();  // all have read the tiles' sums
    for (int64_t t = start; t < end; ++t) values[t + 1] = own_before + values[t + 1];
  }
  team.sync();
}

// A warp per group where several fit into a block's shared memory, else a block.
// 1. Read the sequence, once: snippets go to storage, and so do ballots of cas > threshold.
// 2. Each thread finds the runs that end in its words of bits. One scan over (threshold, word)
//    gives every run its slot; its segment is written.
// 3. The padding is written, and the snippets become their prefix sums.
// 4. Each thread scores a written segment: an even share of the work, coalesced stores.
// ONLY_COUNTS: it ends after the second, and the capacity is zero.
template <typename T, int THREADS, bool ONLY_COUNTS>
__global__ void __launch_bounds__(kBlock)
    threshold_proposals_kernel(const ThresholdProposalsParams<T> params,
                               const ProposalsLayout layout) {
  using ThisTeam = Team<THREADS, int64_t>;
  __shared__ int64_t shared_sums[2 * (kBlock / 32)];
  ThisTeam team(shared_sums);
  const int rank = team.rank();
  const int lane = threadIdx.x % 32;
  const int teams = static_cast<int>(blockDim.x) / THREADS;
  const int team_number = static_cast<int>(threadIdx.x) / THREADS;
  const int64_t words = layout.words;

  for (int64_t task = blockIdx.x; task * teams < params.groups; task += gridDim.x) {
    const int64_t group = task * teams + team_number;
    if (group >= params.groups) continue;  // whole warps; a block is one team or has no barriers
    const T* cas = params.cas + group * params.num_snippets;
    const int64_t size = valid_count(params.lengths, group, params.num_snippets);
    const double* thresholds =
        params.thresholds + (params.thresholds_per_group ? group * params.num_thresholds : 0);
    T* segments = params.segments + 2 * group * params.capacity;
    T* scores = params.scores + group * params.capacity;
    T* weights = params.weights + group * params.capacity;
    const GroupStorage storage = storage_of(params, layout, team_number);

    double least = INFINITY;
    for (int64_t h = lane; h < params.num_thresholds; h += 32)
      least = thresholds[h] < least ? thresholds[h] : least;
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      const double other = __shfl_xor_sync(kFullWarp, least, offset);
      least = other < least ? other : least;
    }
    unsigned anything = 0u;
    if (rank == 0) storage.prefix[0] = 0.0;
    for (int64_t word = rank / 32; word < words; word += ThisTeam::warps) {
      const int64_t t = 32 * word + lane;
      const bool valid = t < size;
      const double value = valid ? static_cast<double>(cas[t]) : 0.0;
      if (valid) storage.prefix[t + 1] = value;
      // Most classes are absent from most videos: one ballot does where no threshold is reached.
      const unsigned reached = __ballot_sync(kFullWarp, valid && value > least);
      anything |= reached;
      for (int64_t first = 0; first < params.num_thresholds; first += 32) {
        const int64_t left = params.num_thresholds - first;
        const int here = left < 32 ? static_cast<int>(left) : 32;
        uint32_t mine = 0u;
        for (int i = 0; reached != 0u && i < here; ++i) {
          const uint32_t bits = __ballot_sync(kFullWarp, valid && value > thresholds[first + i]);
          if (i == lane) mine = bits;
        }
        if (lane < here) storage.above[(first + lane) * words + word] = mine;
      }
    }
    if (ThisTeam::warps == 1)
      __syncwarp();
    else
      anything = static_cast<unsigned>(__syncthreads_or(anything != 0u));

    int64_t found = 0;
    const int64_t items = anything != 0u ? params.num_thresholds * words : 0;
    for (int64_t base = 0; base < items; base += THREADS) {
      const int64_t item = base + rank;
      const int64_t w = item % words;
      const uint32_t* above = storage.above + (item - w);
      int64_t runs = 0;
      if (item < items)
        runs_ending_in(above, w, params.min_length, [&](int64_t, int64_t) { ++runs; });
      int64_t total;
      int64_t slot = found + team.exclusive_sum(runs, total);
      found += total;
      if (runs > 0)
        runs_ending_in(above, w, params.min_length, [&](int64_t start, int64_t end) {
          if (slot < params.capacity) {
            segments[2 * slot] = static_cast<T>(start);
            segments[2 * slot + 1] = static_cast<T>(end + 1);
          }
          ++slot;
        });
    }
    const int64_t count = found < params.capacity ? found : params.capacity;
    if (rank == 0) params.counts[group] = ONLY_COUNTS ? found : count;
    team.sync();
    if (ONLY_COUNTS) continue;

    const int64_t padding = params.capacity - count;
    store_zeros(segments + 2 * count, 2 * padding, rank, THREADS);
    store_zeros(scores + count, padding, rank, THREADS);
    store_zeros(weights + count, padding, rank, THREADS);
    if (count > 0) sum_up(storage.prefix, size, team);

    for (int64_t slot = rank; slot < count; slot += THREADS) {
      const auto start = static_cast<int64_t>(segments[2 * slot]);
      const int64_t end = static_cast<int64_t>(segments[2 * slot + 1]) - 1;
      const double reach = ring_reach(end - start, params.margin, params.margin_power);
      const Contrast contrast = outer_inner_contrast(storage.prefix, start, end, size, reach);
      scores[slot] = static_cast<T>(contrast.score);
      weights[slot] = static_cast<T>(contrast.inner);
    }
    team.sync();  // before the next group overwrites the storage
  }
}

template <bool ONLY_COUNTS, typename T>
Status launch_proposals(const char* name, const ThresholdProposalsParams<T>& params, void* stream) {
  if (params.groups == 0) return Status();
  const ProposalsLayout layout = proposals_layout(params.num_snippets, params.num_thresholds);
  const int teams = layout.warps_per_block();
  const size_t shared_bytes = static_cast<size_t>(layout.shared_bytes());
  const int64_t most_blocks = layout.workspace_words() > 0 ? kProposalsBlocks : kMaxGrid;
  if (teams > 0)
    launch_kernel(threshold_proposals_kernel<T, 32, ONLY_COUNTS>,
                  grid_for((params.groups + teams - 1) / teams), 32 * teams, teams * shared_bytes,
                  stream, params, layout);
  else
    launch_kernel(threshold_proposals_kernel<T, kBlock, ONLY_COUNTS>,
                  grid_for(params.groups < most_blocks ? params.groups : most_blocks), kBlock,
                  shared_bytes, stream, params, layout);
  return launch_status(name);
}

}  // namespace

template <typename T>
Status threshold_proposals_cuda(const ThresholdProposalsParams<T>& params, void* stream) {
  // Step 4 reads boundaries back from the output: they must be exact there.
  constexpr int64_t kMostSnippets = sizeof(T) == 4 ? int64_t{1} << 24 : int64_t{1} << 53;
  if (params.num_snippets >= kMostSnippets)
    return make_status(Code::invalid_argument,
                       "cas must have fewer than %lld snippets in this dtype on CUDA, got %lld",
                       static_cast<long long>(kMostSnippets),
                       static_cast<long long>(params.num_snippets));
  return launch_proposals<false>("threshold_proposals", params, stream);
}

template <typename T>
Status count_proposals_cuda(const ThresholdProposalsParams<T>& params, void* stream) {
  return launch_proposals<true>("count_proposals", params, stream);
}

template Status threshold_proposals_cuda(const ThresholdProposalsParams<float>&, void*);
template Status threshold_proposals_cuda(const ThresholdProposalsParams<double>&, void*);
template Status count_proposals_cuda(const ThresholdProposalsParams<float>&, void*);
template Status count_proposals_cuda(const ThresholdProposalsParams<double>&, void*);

}  // namespace gaufuse
