#include "gaufuse/interval_membership.h"

#include <algorithm>

#include "cpu/check_values.h"
#include "cpu/parallel.h"
#include "gaufuse/groups.h"

namespace gaufuse {
namespace {

template <typename T>
void fill_range(T* row, SnippetRange range, double value) {
  if (range.size() > 0) std::fill(row + range.start, row + range.stop, static_cast<T>(value));
}

}  // namespace

template <typename T>
Status interval_membership_cpu(const IntervalMembershipParams<T>& params, int threads) {
  const int64_t capacity = params.capacity;
  GAUFUSE_RETURN_IF_BAD(check_counts("counts", params.counts, params.groups, capacity));
  GAUFUSE_RETURN_IF_BAD(
      check_counts("lengths", params.lengths, params.groups, params.num_snippets));
  for (int64_t g = 0; g < params.groups; ++g)
    GAUFUSE_RETURN_IF_BAD(check_segments("segments", params.segments + 2 * g * capacity,
                                         valid_count(params.counts, g, capacity), g));
  const int64_t rows = params.groups * capacity;
  parallel_for(rows, grain_for(params.num_snippets), threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t group = r / capacity;
      T* out = params.matrix + r * params.num_snippets;
      std::fill(out, out + params.num_snippets, T(0));
      if (r % capacity >= valid_count(params.counts, group, capacity)) continue;
      const int64_t length = valid_count(params.lengths, group, params.num_snippets);
      const MembershipRow row =
          make_membership_row(static_cast<double>(params.segments[2 * r]),
                              static_cast<double>(params.segments[2 * r + 1]), length,
                              params.margin, params.margin_power, params.mode);
      fill_range(out, row.inside, row.inside_value);
      fill_range(out, row.ring.left, row.ring_value);
      fill_range(out, row.ring.right, row.ring_value);
    }
  });
  return Status();
}

template Status interval_membership_cpu(const IntervalMembershipParams<float>&, int);
template Status interval_membership_cpu(const IntervalMembershipParams<double>&, int);

}  // namespace gaufuse
