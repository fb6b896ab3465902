// linpro_labels: labels in [0, 1]; objective and residual worked out anew, snippet by snippet, and
// no other labels that beat them.
#include "gaufuse/linpro_labels.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "fuzz/harness.h"
#include "fuzz/linpro_cases.h"
#include "fuzz/scored_groups.h"
#include "gaufuse/linpro_component.h"
#include "gaufuse/segment_overlap.h"

namespace gaufuse {
namespace {

// A group's program as the docstring of gaufuse_ext/ops/linpro_labels.py has it.
struct Program {
  struct Instance {
    MembershipRow row;
    double confidence;
    double weight;
  };
  std::vector<Instance> instances;  // those that take part
  LinproTerms terms;
  int64_t size;  // snippets

  bool holds(int64_t i, int64_t t) const { return membership_value(instances[i].row, t) > 0.0; }

  double miss(const std::vector<double>& x, int64_t i) const {
    double sum = 0.0;
    for (int64_t t = 0; t < size; ++t) sum += membership_value(instances[i].row, t) * x[t];
    return std::fabs(sum - instances[i].confidence);
  }

  double residual(const std::vector<double>& x) const {
    double sum = 0.0;
    for (size_t i = 0; i < instances.size(); ++i) sum += miss(x, i);
    return sum;
  }

  double objective(const std::vector<double>& x) const {
    double sum = 0.0;
    for (size_t i = 0; i < instances.size(); ++i) {
      const Instance& own = instances[i];
      const double length = static_cast<double>(own.row.inside.size());
      const double price = own.weight * (terms.per_snippet ? length : 1.0);
      if (!terms.hard) sum += terms.confidence * price * miss(x, i);
      for (int64_t t = 0; t < size; ++t) {
        if (!holds(i, t)) continue;
        sum += terms.uniformity * price / length * std::fabs(x[t] - own.confidence);
        if (t + 1 < size && holds(i, t + 1))
          sum += terms.variation * own.weight * std::fabs(x[t + 1] - x[t]);
      }
    }
    for (int64_t t = 0; t < size; ++t) {
      sum += terms.sparsity * x[t];
      double total = 0.0;
      double mean = 0.0;
      for (size_t i = 0; i < instances.size(); ++i)
        if (holds(i, t)) total += instances[i].weight;
      for (size_t i = 0; i < instances.size(); ++i)
        if (holds(i, t)) mean += instances[i].weight / total * instances[i].confidence;
      if (total > 0.0) sum += terms.anchor * std::fabs(x[t] - mean);
    }
    return sum;
  }
};

template <typename T>
Program program_of(const LinproLabelsParams<T>& params, int64_t g) {
  Program program{{}, params.terms, valid_count(params.lengths, g, params.num_snippets)};
  const int64_t count = valid_count(params.counts, g, params.capacity);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = g * params.capacity + i;
    const Segment segment = load_segment(params.segments, at);
    const double weight = params.weights == nullptr ? 1.0 : static_cast<double>(params.weights[at]);
    const MembershipRow row =
        make_membership_row(segment.start, segment.end, program.size, params.margin,
                            params.margin_power, params.terms.rows);
    if (weight > 0.0 && (params.terms.all_instances || row.inside.size() > 0))
      program.instances.push_back({row, static_cast<double>(params.scores[at]), weight});
  }
  return program;
}

// Other labels do not cost less: the program is convex, so those nearby would do.
void check_optimal(Bytes& bytes, const Program& program, const std::vector<double>& x,
                   double objective, bool relaxed) {
  const double residual = program.residual(x);
  for (int trial = 0; trial < 4; ++trial) {
    std::vector<double> other = x;
    const int64_t from = bytes.upto(program.size - 1);
    const int64_t to = std::min(program.size, from + 1 + bytes.upto(8));
    const double target = bytes.fraction();
    const double step = trial % 2 == 0 ? 1.0 : 1.0 / 16.0;
    for (int64_t t = from; t < to; ++t) other[t] += step * (target - other[t]);
    const double room = 1e-7 * (1.0 + std::fabs(objective) + residual);
    if (program.terms.hard && relaxed) {
      CHECK(program.residual(other) >= residual - room);
    } else if (!program.terms.hard) {
      CHECK(program.objective(other) >= objective - room);
    }
  }
}

template <typename T>
void check_group(Bytes& bytes, const LinproLabelsParams<T>& params, int64_t g, bool tame) {
  const T* labels = params.labels + g * params.num_snippets;
  const auto status = static_cast<LinproStatus>(params.status(g));
  CHECK(status == LinproStatus::empty || status == LinproStatus::optimal ||
        status == LinproStatus::unsolved || status == LinproStatus::relaxed);
  const Program program = program_of(params, g);
  CHECK(params.pivots(g) >= 0);
  for (int64_t t = 0; t < params.num_snippets; ++t) {
    CHECK(labels[t] >= T(0) && labels[t] <= T(1));
    bool carried = false;
    for (const Program::Instance& instance : program.instances)
      carried |= t < program.size && membership_value(instance.row, t) != 0.0;
    CHECK(carried || labels[t] == T(0));
    CHECK(status != LinproStatus::unsolved || labels[t] == T(0));
  }
  if (status == LinproStatus::unsolved) return;
  CHECK(params.gap(g) >= 0.0 && params.gap(g) <= kLinproGap);
  CHECK(!std::isnan(params.objective(g)) && !std::isnan(params.residual(g)));
  if (!tame || program.size == 0) return;
  const std::vector<double> x(labels, labels + program.size);
  // Labels of float carry the rounding of float.
  const double exact = sizeof(T) == 8 ? 1e-8 : 1e-4;
  const double objective = program.objective(x);
  const double residual = program.residual(x);
  CHECK_NEAR(params.objective(g), objective, exact * (1.0 + std::fabs(objective)));
  CHECK_NEAR(params.residual(g), residual, exact * (1.0 + residual));
  if (program.terms.hard) CHECK(status == LinproStatus::relaxed || residual <= 1e-5);
  // Where constraints are relaxed none counts less than 1e-6 of the heaviest: with equal weights
  // the residual is the one that is least.
  if (sizeof(T) == 8 && (params.weights == nullptr || !program.terms.hard))
    check_optimal(bytes, program, x, objective, status == LinproStatus::relaxed);
}

LinproTerms draw_terms(Bytes& bytes, bool& tame) {
  if (bytes.one_in(6))
    return LinproTerms{0.0, 0.0, 0.0, 0.0, 1.0, false, true, Membership::contrast, true};
  tame = !bytes.one_in(4);
  double prices[5];
  static constexpr double kPrices[] = {0.0, 1.0, 0.08, 0.04, 1e-3, 0.5, 2.0, 0.1};
  for (double& price : prices) price = tame ? kPrices[bytes.upto(7)] : draw_price(bytes);
  if (bytes.one_in(2)) prices[3] = 0.0;  // pairs make a program large
  const auto rows = bytes.one_in(2) ? Membership::mean : Membership::contrast_mean;
  return LinproTerms{prices[0],       prices[1],       prices[2], prices[3], prices[4],
                     bytes.one_in(2), bytes.one_in(3), rows,      false};
}

template <typename T>
void run(Bytes& bytes) {
  bool valid = true;
  bool tame = true;
  LinproLabelsParams<T> params{};
  params.groups = draw_size(bytes, 2);
  params.capacity = draw_size(bytes, bytes.one_in(100) ? 70 : 6);
  params.num_snippets = draw_size(bytes, 24);
  params.terms = draw_terms(bytes, tame);
  params.margin = bytes.one_in(2) ? 0.0785 : 0.5;
  params.margin_power = 0.9;
  const Array<int64_t> counts = draw_counts(bytes, params.groups, params.capacity, valid);
  const Array<int64_t> lengths = draw_counts(bytes, params.groups, params.num_snippets, valid);
  params.counts = pointer_or_null(counts, counts.size() > 0);
  params.lengths = pointer_or_null(lengths, lengths.size() > 0);
  const Array<T> segments =
      draw_segments<T>(bytes, params.groups, params.capacity, params.counts, valid);
  const int64_t size = params.groups * params.capacity;
  Array<T> scores = make_array<T>(bytes, size);
  Array<T> weights = make_array<T>(bytes, size);
  const bool odd = bytes.one_in(4);
  tame &= !odd;
  const bool weighted = bytes.one_in(2);
  for (int64_t g = 0; g < params.groups; ++g)
    for (int64_t i = 0; i < params.capacity; ++i) {
      const int64_t at = g * params.capacity + i;
      const bool padding = i >= valid_count(params.counts, g, params.capacity);
      scores[at] = padding ? bytes.not_finite<T>()
                   : odd   ? bytes.number<T>(Style::special)
                           : static_cast<T>(bytes.fraction() * 3.0 - 1.0);
      weights[at] = padding ? bytes.not_finite<T>()
                    : odd   ? std::fabs(bytes.number<T>(Style::special))
                            : static_cast<T>(bytes.fraction());
      if (!padding && bytes.one_in(300)) weights[at] = -weights[at];
      if (padding) continue;
      valid &= std::isfinite(scores[at]);
      valid &= !weighted || (weights[at] >= T(0) && static_cast<double>(weights[at]) <= 1e100);
    }
  Array<T> labels = make_array<T>(bytes, params.groups * params.num_snippets);
  Array<double> figures = make_array<double>(bytes, 3 * params.groups);
  Array<int64_t> numbers = make_array<int64_t>(bytes, 2 * params.groups);
  params.segments = segments.data();
  params.scores = scores.data();
  params.weights = weighted ? weights.data() : nullptr;
  params.labels = labels.data();
  params.figures = figures.data();
  params.numbers = numbers.data();
  if (!accepted(linpro_labels_cpu(params, 1), valid)) return;
  for (int64_t g = 0; g < params.groups; ++g) check_group(bytes, params, g, tame);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(linpro_labels)
