// One connected component of a LinPro program: its cells, what they pay, what an answer is worth.
// Solved by linpro_program.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "gaufuse/arena.h"
#include "gaufuse/host_device.h"
#include "gaufuse/interval_membership.h"
#include "gaufuse/linpro_labels.h"
#include "gaufuse/one_lane.h"

namespace gaufuse {

struct LinproInstance {
  MembershipRow row;
  double confidence;
  double weight;   // positive
  int64_t begin;   // first snippet of the row that is not zero
  int64_t end;     // one past the last
  int64_t number;  // in the group

  GAUFUSE_HD double inside_size() const { return static_cast<double>(row.inside.size()); }
  GAUFUSE_HD double ring_size() const {
    return static_cast<double>(row.ring.left.size() + row.ring.right.size());
  }
};

GAUFUSE_HD double clip(double value, double least, double most) {
  return value < least ? least : (value > most ? most : value);
}

constexpr double kLightest = 1e-6;

// All arrays are the arena's.
struct LinproComponent {
  const LinproInstance* instances;
  int count;
  LinproTerms terms;       // in units of 2^unit_exponent, after scale_component()
  double weight_scale[2];  // times an instance's weight: about one at most. Of denormal numbers one
                           // factor would be infinite.
  int unit_exponent;       // of all prices
  int cells;
  int64_t* cuts;    // (cells + 1,)
  double* sizes;    // (cells,) snippets
  double* entries;  // (count, cells) membership value of a snippet
  double* targets;  // (count,) confidences, clipped to what can be reached, plus one
  int* ascending;   // (count,) instances by target
  double* anchors;  // (cells,) weighted mean confidence of the instances that cover a cell
  double* scores;   // (cells,) the solution
  bool relaxed;
  double objective;         // with the confidences as they are, in units of 2^unit_exponent
  double residual;          // sum of |M x - q|, the same
  double target_objective;  // with the clipped ones: what bounds are compared with
  double target_residual;   // weighted, with the clipped ones
  double worst_miss;        // the largest |M x - q|, with the clipped ones

  GAUFUSE_HD double entry(int instance, int cell) const { return entries[instance * cells + cell]; }
  GAUFUSE_HD double weight(int instance) const {
    return instances[instance].weight * weight_scale[0] * weight_scale[1];
  }
  // Of |M x - q| where hard constraints are relaxed: what is lighter than kLightest of the heaviest
  // would be lost in the tolerances.
  GAUFUSE_HD double miss_weight(int instance) const {
    return weight(instance) < kLightest ? kLightest : weight(instance);
  }
  GAUFUSE_HD bool covers(int instance, int cell) const { return entry(instance, cell) > 0.0; }

  // Of |(M x)_i - q_i|, and of |x_t - q_i| at a snippet of the instance.
  GAUFUSE_HD double confidence_price(int instance) const {
    const double price = terms.confidence * weight(instance);
    return terms.per_snippet ? price * instances[instance].inside_size() : price;
  }
  GAUFUSE_HD double uniformity_price(int instance) const {
    const double size = instances[instance].inside_size();
    const double price = terms.uniformity * weight(instance);
    return terms.per_snippet || size == 0.0 ? price : price / size;
  }

  // As far as an anchor can pull, as a target is as far as a confidence can.
  GAUFUSE_HD double anchor_target(int cell) const { return clip(anchors[cell], -1.0, 2.0); }
};

struct LargerOf {
  GAUFUSE_HD double operator()(double a, double b) const { return a > b ? a : b; }
};

// Of value_of(i) for i in [0, count), at least zero.
template <typename Lanes, typename ValueOf>
GAUFUSE_HD double largest_of(const Lanes& lanes, int count, ValueOf value_of) {
  double mine = 0.0;
  for (int i = lanes.rank(); i < count; i += lanes.size) mine = LargerOf()(value_of(i), mine);
  return lanes.reduce(mine, LargerOf());
}

// How many ranges a row consists of.
GAUFUSE_HD int ranges_of(Membership rows) { return rows == Membership::mean ? 1 : 3; }

// Cells lie between neighbouring boundaries of the rows' ranges. False: the arena is too small.
template <typename Lanes>
GAUFUSE_HD_CALLED bool cut_component(const Lanes& lanes, LinproComponent& component, Arena& arena) {
  const int count = component.count;
  const int ranges = ranges_of(component.terms.rows);
  const int size = 2 * ranges * count;
  int64_t* cuts = arena.take<int64_t>(size);
  int64_t* scratch = arena.take<int64_t>(size);
  if (scratch == nullptr) return false;
  for (int i = lanes.rank(); i < count; i += lanes.size) {
    const LinproInstance& instance = component.instances[i];
    const MembershipRow& row = instance.row;
    const SnippetRange own[] = {row.inside, row.ring.left, row.ring.right};
    for (int k = 0; k < ranges; ++k) {
      const bool empty = own[k].size() == 0;  // then once more a boundary that there is
      cuts[2 * (i * ranges + k)] = empty ? instance.begin : own[k].start;
      cuts[2 * (i * ranges + k) + 1] = empty ? instance.begin : own[k].stop;
    }
  }
  lanes.sync();
  lanes.sort(cuts, size, scratch, [](int64_t a, int64_t b) { return a < b; });
  int64_t cut = 0;
  const int distinct = lanes.compact(
      size,
      [&](int k) {
        cut = cuts[k];
        return k == 0 || cut != cuts[k - 1];
      },
      [&](int, int position) { cuts[position] = cut; });
  const int cells = distinct > 0 ? distinct - 1 : 0;
  component.cells = cells;
  component.cuts = cuts;
  component.sizes = arena.take<double>(cells);
  component.entries = arena.take<double>(static_cast<int64_t>(count) * cells);
  component.targets = arena.take<double>(count);
  component.ascending = arena.take<int>(2 * count);  // and scratch
  component.anchors = arena.take<double>(cells);
  component.scores = arena.take<double>(cells);
  if (component.scores == nullptr) return false;
  for (int c = lanes.rank(); c < cells; c += lanes.size) {
    component.sizes[c] = static_cast<double>(cuts[c + 1] - cuts[c]);
    component.scores[c] = 0.0;
    for (int i = 0; i < count; ++i)
      component.entries[i * cells + c] = membership_value(component.instances[i].row, cuts[c]);
  }
  lanes.sync();
  return true;
}

// Solvers' tolerances are absolute: prices of 1e-12 would all count as none, weights of 1e300 as
// infinite. So the largest weight becomes one, about, and then the largest price; by powers of two,
// so that nothing is rounded.
template <typename Lanes>
GAUFUSE_HD void scale_component(const Lanes& lanes, LinproComponent& component) {
  LinproTerms& terms = component.terms;
  const double heaviest =
      largest_of(lanes, component.count, [&](int i) { return component.instances[i].weight; });
  const int weight_exponent = ilogb(heaviest);
  const int half = weight_exponent / 2;
  component.weight_scale[0] = scalbn(1.0, -half);
  component.weight_scale[1] = scalbn(1.0, half - weight_exponent);
  // Of what is weighted and of the rest. Exponents do not underflow where their numbers would.
  const double dearest = largest_of(lanes, component.count, [&](int i) {
    const double confidence = terms.hard ? 0.0 : component.confidence_price(i);
    return LargerOf()(component.uniformity_price(i), confidence);
  });
  const double weighted = LargerOf()(dearest, terms.variation);
  const double plain = LargerOf()(terms.anchor, terms.sparsity);
  component.unit_exponent = 0;
  if (!(weighted > 0.0) && !(plain > 0.0)) return;
  int exponent = plain > 0.0 ? ilogb(plain) : ilogb(weighted) + weight_exponent;
  if (weighted > 0.0 && ilogb(weighted) + weight_exponent > exponent)
    exponent = ilogb(weighted) + weight_exponent;
  component.unit_exponent = exponent;
  terms.confidence = scalbn(terms.confidence, weight_exponent - exponent);
  terms.uniformity = scalbn(terms.uniformity, weight_exponent - exponent);
  terms.variation = scalbn(terms.variation, weight_exponent - exponent);
  terms.anchor = scalbn(terms.anchor, -exponent);
  terms.sparsity = scalbn(terms.sparsity, -exponent);
}

// What M x can reach, and one more, is as far as a confidence can pull: the rest of the way adds a
// constant to |M x - q|. So no confidence, however large, costs the tableau its digits. Anchors are
// convex combinations, which cannot overflow.
template <typename Lanes>
GAUFUSE_HD_CALLED void find_targets(const Lanes& lanes, LinproComponent& component) {
  const int count = component.count;
  double* targets = component.targets;
  for (int i = lanes.rank(); i < count; i += lanes.size) {
    double least = 0.0;
    double most = 0.0;
    for (int c = 0; c < component.cells; ++c) {
      const double amount = component.entry(i, c) * component.sizes[c];
      (amount < 0.0 ? least : most) += amount;
    }
    targets[i] = clip(component.instances[i].confidence, least - 1.0, most + 1.0);
    component.ascending[i] = i;
  }
  for (int c = lanes.rank(); c < component.cells; c += lanes.size) {
    double anchor = 0.0;
    double total = 0.0;
    if (component.terms.anchor > 0.0) {
      for (int i = 0; i < count; ++i)
        if (component.covers(i, c)) total += component.weight(i);
      for (int i = 0; i < count; ++i)
        if (component.covers(i, c))
          anchor += component.weight(i) / total * component.instances[i].confidence;
    }
    component.anchors[c] = anchor;
  }
  lanes.sync();
  lanes.sort(component.ascending, count, component.ascending + count, [=](int a, int b) {
    return targets[a] < targets[b] || (targets[a] == targets[b] && a < b);
  });
}

struct LinproCosts {
  double objective;
  double target_objective;
  double residual;
  double target_residual;

  GAUFUSE_HD void add(double price, double score, double confidence, double target) {
    objective += price * fabs(score - confidence);
    target_objective += price * fabs(score - target);
  }

  GAUFUSE_HD void add(double cost) {
    objective += cost;
    target_objective += cost;
  }

  GAUFUSE_HD LinproCosts operator+(const LinproCosts& other) const {
    return LinproCosts{objective + other.objective, target_objective + other.target_objective,
                       residual + other.residual, target_residual + other.target_residual};
  }
};

// Objective and residual of the scores, from the component's own data.
template <typename Lanes>
GAUFUSE_HD_CALLED void evaluate_component(const Lanes& lanes, LinproComponent& component) {
  const LinproTerms& terms = component.terms;
  const double* scores = component.scores;
  double worst_miss = 0.0;
  const LinproCosts of_instances = lanes.template sum<LinproCosts>(component.count, [&](int i) {
    LinproCosts costs{};
    const double confidence = component.instances[i].confidence;
    const double target = component.targets[i];
    const double uniformity = component.uniformity_price(i);
    double sum = 0.0;
    for (int c = 0; c < component.cells; ++c) {
      const double size = component.sizes[c];
      sum += component.entry(i, c) * size * scores[c];
      if (component.covers(i, c)) costs.add(uniformity * size, scores[c], confidence, target);
    }
    const double miss = fabs(sum - target);
    worst_miss = LargerOf()(miss, worst_miss);
    costs.residual = fabs(sum - confidence);
    costs.target_residual = component.miss_weight(i) * miss;
    if (!terms.hard) costs.add(component.confidence_price(i), sum, confidence, target);
    return costs;
  });
  const LinproCosts of_cells = lanes.template sum<LinproCosts>(component.cells, [&](int c) {
    LinproCosts costs{};
    costs.add(terms.sparsity * component.sizes[c] * scores[c]);
    double before = 0.0;  // weight of the instances that cover this cell and the one before
    bool covered = false;
    for (int i = 0; i < component.count; ++i) {
      covered |= component.covers(i, c);
      if (c > 0 && component.covers(i, c - 1) && component.covers(i, c))
        before += component.weight(i);
    }
    if (covered)
      costs.add(terms.anchor * component.sizes[c], scores[c], component.anchors[c],
                component.anchor_target(c));
    if (before > 0.0) costs.add(terms.variation * before * fabs(scores[c] - scores[c - 1]));
    return costs;
  });
  const LinproCosts costs = of_instances + of_cells;
  component.objective = costs.objective;
  component.target_objective = costs.target_objective;
  component.residual = costs.residual;
  component.target_residual = costs.target_residual;
  component.worst_miss = lanes.reduce(worst_miss, LargerOf());
}

// One instance, without a ring or `released`: closed forms.
template <typename Lanes>
GAUFUSE_HD_CALLED void solve_alone(const Lanes& lanes, LinproComponent& component) {
  const LinproTerms& terms = component.terms;
  const LinproInstance& instance = component.instances[0];
  const double q = instance.confidence;
  const double inside = instance.inside_size();
  double level = clip(q, 0.0, 1.0);
  bool on_ring = false;
  if (terms.all_instances) {
    on_ring = q < 0.0;
    const double carriers = on_ring ? instance.ring_size() : inside;
    level = carriers > 0.0 ? clip(fabs(q) / carriers, 0.0, 1.0) : 0.0;
    component.relaxed = fabs(q) > carriers + kLinproGap;
  } else if (terms.hard) {
    component.relaxed = fabs(q - level) > kLinproGap;
  } else {
    const double gain =
        component.confidence_price(0) + inside * (component.uniformity_price(0) + terms.anchor);
    if (gain < terms.sparsity * inside) level = 0.0;
  }
  for (int c = lanes.rank(); c < component.cells; c += lanes.size) {
    const double entry = component.entry(0, c);
    component.scores[c] = (on_ring ? entry < 0.0 : entry > 0.0) ? level : 0.0;
  }
  lanes.sync();
  evaluate_component(lanes, component);
}

}  // namespace gaufuse
