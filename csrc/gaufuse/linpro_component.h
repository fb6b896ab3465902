// One connected component of a LinPro program: its cells, what they pay, what an answer is worth.
// Solved by linpro_program.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "gaufuse/arena.h"
#include "gaufuse/heap_sort.h"
#include "gaufuse/host_device.h"
#include "gaufuse/interval_membership.h"
#include "gaufuse/linpro_labels.h"

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
  LinproTerms terms;    // in units of `unit`, after scale_component()
  double weight_scale;  // times an instance's weight: at most one
  double unit;          // of all prices
  int cells;
  int64_t* cuts;    // (cells + 1,)
  double* sizes;    // (cells,) snippets
  double* entries;  // (count, cells) membership value of a snippet
  double* targets;  // (count,) confidences, clipped to what can be reached, plus one
  double* anchors;  // (cells,) weighted mean confidence of the instances that cover a cell
  double* scores;   // (cells,) the solution
  bool relaxed;
  double objective;         // with the confidences as they are, in units of `unit`
  double residual;          // sum of |M x - q|, the same
  double target_objective;  // with the clipped ones: what bounds are compared with
  double target_residual;   // weighted, with the clipped ones
  double worst_miss;        // the largest |M x - q|, with the clipped ones

  GAUFUSE_HD double entry(int instance, int cell) const { return entries[instance * cells + cell]; }
  GAUFUSE_HD double weight(int instance) const { return instances[instance].weight * weight_scale; }
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

// Cells lie between neighbouring boundaries of the rows' ranges. False: the arena is too small.
GAUFUSE_HD_CALLED bool cut_component(LinproComponent& component, Arena& arena) {
  const int count = component.count;
  int64_t* cuts = arena.take<int64_t>(6 * count + 1);
  if (cuts == nullptr) return false;
  int size = 0;
  const auto add = [&](SnippetRange range) {
    if (range.size() == 0) return;
    cuts[size++] = range.start;
    cuts[size++] = range.stop;
  };
  for (int i = 0; i < count; ++i) {
    add(component.instances[i].row.inside);
    add(component.instances[i].row.ring.left);
    add(component.instances[i].row.ring.right);
  }
  heap_sort(cuts, size, [](int64_t a, int64_t b) { return a < b; });
  int distinct = 0;
  for (int k = 0; k < size; ++k)
    if (k == 0 || cuts[k] != cuts[k - 1]) cuts[distinct++] = cuts[k];
  const int cells = distinct > 0 ? distinct - 1 : 0;
  component.cells = cells;
  component.cuts = cuts;
  component.sizes = arena.take<double>(cells);
  component.entries = arena.take<double>(static_cast<int64_t>(count) * cells);
  component.targets = arena.take<double>(count);
  component.anchors = arena.take<double>(cells);
  component.scores = arena.take<double>(cells);
  if (component.scores == nullptr) return false;
  for (int c = 0; c < cells; ++c) {
    component.sizes[c] = static_cast<double>(cuts[c + 1] - cuts[c]);
    component.scores[c] = 0.0;
    for (int i = 0; i < count; ++i)
      component.entries[i * cells + c] = membership_value(component.instances[i].row, cuts[c]);
  }
  return true;
}

// Solvers' tolerances are absolute: prices of 1e-12 would all count as none, weights of 1e300 as
// infinite. So the largest weight becomes one, about, and then the largest price; by powers of two,
// so that nothing is rounded.
GAUFUSE_HD void scale_component(LinproComponent& component) {
  LinproTerms& terms = component.terms;
  double heaviest = 0.0;
  for (int i = 0; i < component.count; ++i)
    if (component.instances[i].weight > heaviest) heaviest = component.instances[i].weight;
  const int weight_exponent = ilogb(heaviest);
  component.weight_scale = scalbn(1.0, -weight_exponent);
  terms.confidence = scalbn(terms.confidence, weight_exponent);
  terms.uniformity = scalbn(terms.uniformity, weight_exponent);
  terms.variation = scalbn(terms.variation, weight_exponent);
  component.unit = 1.0;
  double largest = terms.anchor > terms.sparsity ? terms.anchor : terms.sparsity;
  if (terms.variation > largest) largest = terms.variation;
  for (int i = 0; i < component.count; ++i) {
    const double confidence = terms.hard ? 0.0 : component.confidence_price(i);
    const double uniformity = component.uniformity_price(i);
    if (confidence > largest) largest = confidence;
    if (uniformity > largest) largest = uniformity;
  }
  if (!(largest > 0.0)) return;
  const int exponent = ilogb(largest);
  component.unit = scalbn(1.0, exponent);
  terms.confidence = scalbn(terms.confidence, -exponent);
  terms.uniformity = scalbn(terms.uniformity, -exponent);
  terms.anchor = scalbn(terms.anchor, -exponent);
  terms.variation = scalbn(terms.variation, -exponent);
  terms.sparsity = scalbn(terms.sparsity, -exponent);
}

// What M x can reach, and one more, is as far as a confidence can pull: the rest of the way adds a
// constant to |M x - q|. So no confidence, however large, costs the tableau its digits. Anchors are
// convex combinations, which cannot overflow.
GAUFUSE_HD_CALLED void find_targets(LinproComponent& component) {
  for (int i = 0; i < component.count; ++i) {
    double least = 0.0;
    double most = 0.0;
    for (int c = 0; c < component.cells; ++c) {
      const double amount = component.entry(i, c) * component.sizes[c];
      (amount < 0.0 ? least : most) += amount;
    }
    component.targets[i] = clip(component.instances[i].confidence, least - 1.0, most + 1.0);
  }
  for (int c = 0; c < component.cells; ++c) {
    component.anchors[c] = 0.0;
    if (!(component.terms.anchor > 0.0)) continue;
    double total = 0.0;
    for (int i = 0; i < component.count; ++i)
      if (component.covers(i, c)) total += component.weight(i);
    for (int i = 0; i < component.count; ++i)
      if (component.covers(i, c))
        component.anchors[c] += component.weight(i) / total * component.instances[i].confidence;
  }
}

// Objective and residual of the scores, from the component's own data.
GAUFUSE_HD_CALLED void evaluate_component(LinproComponent& component) {
  const LinproTerms& terms = component.terms;
  const double* scores = component.scores;
  double objective = 0.0;
  double target_objective = 0.0;
  component.residual = component.target_residual = component.worst_miss = 0.0;
  const auto add = [&](double price, double score, double confidence, double target) {
    objective += price * fabs(score - confidence);
    target_objective += price * fabs(score - target);
  };
  for (int i = 0; i < component.count; ++i) {
    const double confidence = component.instances[i].confidence;
    const double target = component.targets[i];
    const double uniformity = component.uniformity_price(i);
    double sum = 0.0;
    for (int c = 0; c < component.cells; ++c) {
      const double size = component.sizes[c];
      sum += component.entry(i, c) * size * scores[c];
      if (component.covers(i, c)) add(uniformity * size, scores[c], confidence, target);
    }
    component.residual += fabs(sum - confidence);
    const double miss = fabs(sum - target);
    component.target_residual += component.miss_weight(i) * miss;
    if (miss > component.worst_miss) component.worst_miss = miss;
    if (!terms.hard) add(component.confidence_price(i), sum, confidence, target);
  }
  double rest = 0.0;
  for (int c = 0; c < component.cells; ++c) {
    rest += terms.sparsity * component.sizes[c] * scores[c];
    double before = 0.0;  // weight of the instances that cover this cell and the one before
    bool covered = false;
    for (int i = 0; i < component.count; ++i) {
      covered |= component.covers(i, c);
      if (c > 0 && component.covers(i, c - 1) && component.covers(i, c))
        before += component.weight(i);
    }
    if (covered)
      add(terms.anchor * component.sizes[c], scores[c], component.anchors[c],
          component.anchor_target(c));
    if (before > 0.0) rest += terms.variation * before * fabs(scores[c] - scores[c - 1]);
  }
  component.objective = objective + rest;
  component.target_objective = target_objective + rest;
}

// One instance, without a ring or `released`: closed forms.
GAUFUSE_HD_CALLED void solve_alone(LinproComponent& component) {
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
  for (int c = 0; c < component.cells; ++c) {
    const double entry = component.entry(0, c);
    component.scores[c] = (on_ring ? entry < 0.0 : entry > 0.0) ? level : 0.0;
  }
  evaluate_component(component);
}

}  // namespace gaufuse
