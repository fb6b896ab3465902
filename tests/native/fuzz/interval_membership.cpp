// interval_membership: every entry as its definition says.
#include "gaufuse/interval_membership.h"

#include "fuzz/harness.h"
#include "fuzz/scored_groups.h"

namespace gaufuse {
namespace {

template <typename T>
void check_row(const IntervalMembershipParams<T>& params, int64_t g, int64_t i) {
  const int64_t r = g * params.capacity + i;
  const int64_t length = valid_count(params.lengths, g, params.num_snippets);
  const T* found = params.matrix + r * params.num_snippets;
  const bool padding = i >= valid_count(params.counts, g, params.capacity);
  const double start = padding ? 0.0 : static_cast<double>(params.segments[2 * r]);
  const double end = padding ? 0.0 : static_cast<double>(params.segments[2 * r + 1]);
  const MembershipRow row =
      make_membership_row(start, end, length, params.margin, params.margin_power, params.mode);
  double inside = 0.0;
  for (int64_t t = 0; t < params.num_snippets; ++t) {
    const bool zero = padding || t >= length;
    CHECK(found[t] == (zero ? T(0) : static_cast<T>(membership_value(row, t))));
    if (zero) continue;
    const bool is_inside =
        static_cast<double>(t) >= std::trunc(start) && static_cast<double>(t) < std::trunc(end);
    CHECK(!is_inside || found[t] != T(0));
    if (found[t] > T(0)) inside += static_cast<double>(found[t]);
    CHECK(found[t] <= T(0) || is_inside);
  }
  if (params.mode != Membership::contrast && inside > 0.0) CHECK_NEAR(inside, 1.0, 1e-5);
}

template <typename T>
void run(Bytes& bytes) {
  bool valid = true;
  IntervalMembershipParams<T> params{};
  params.groups = draw_size(bytes, 3);
  params.capacity = draw_size(bytes, 9);
  params.num_snippets = draw_size(bytes, 50);
  const Array<int64_t> counts = draw_counts(bytes, params.groups, params.capacity, valid);
  const Array<int64_t> lengths = draw_counts(bytes, params.groups, params.num_snippets, valid);
  params.counts = pointer_or_null(counts, counts.size() > 0);
  params.lengths = pointer_or_null(lengths, lengths.size() > 0);
  const Array<T> segments =
      draw_segments<T>(bytes, params.groups, params.capacity, params.counts, valid);
  Array<T> matrix = make_array<T>(bytes, params.groups * params.capacity * params.num_snippets);
  params.segments = segments.data();
  params.matrix = matrix.data();
  params.margin = bytes.not_negative();
  params.margin_power = bytes.one_in(2) ? 1.0 : bytes.not_negative();
  params.mode = static_cast<Membership>(bytes.upto(2));
  if (!accepted(interval_membership_cpu(params, 1), valid)) return;
  for (int64_t g = 0; g < params.groups; ++g)
    for (int64_t i = 0; i < params.capacity; ++i) check_row(params, g, i);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(interval_membership)
