// Components of LinPro's programs, and what linpro_labels takes for the weight of a term.
#pragma once

#include <algorithm>
#include <vector>

#include "fuzz/bytes.h"
#include "gaufuse/linpro_component.h"
#include "gaufuse/linpro_group.h"

namespace gaufuse {

inline double draw_price(Bytes& bytes) { return std::min(bytes.not_negative(), 1e100); }

struct Case {
  std::vector<LinproInstance> instances;
  LinproTerms terms;
  int64_t num_snippets;
};

inline Case draw_case(Bytes& bytes) {
  Case drawn;
  drawn.num_snippets = 1 + bytes.upto(40);
  drawn.terms.confidence = draw_price(bytes);
  drawn.terms.uniformity = draw_price(bytes);
  drawn.terms.anchor = draw_price(bytes);
  drawn.terms.variation = bytes.one_in(2) ? 0.0 : draw_price(bytes);
  drawn.terms.sparsity = draw_price(bytes);
  drawn.terms.per_snippet = bytes.one_in(2);
  drawn.terms.hard = bytes.one_in(2);
  drawn.terms.rows = static_cast<Membership>(bytes.upto(2));
  drawn.terms.all_instances = bytes.one_in(4);
  const int64_t count = 1 + bytes.upto(7);
  for (int64_t i = 0; i < count; ++i) {
    const double start = static_cast<double>(bytes.upto(drawn.num_snippets));
    const double end = start + static_cast<double>(bytes.upto(drawn.num_snippets));
    const MembershipRow row =
        make_membership_row(start, end, drawn.num_snippets, 0.5, 0.9, drawn.terms.rows);
    const double weight = bytes.one_in(2) ? 1.0 : 1e-3 + bytes.fraction();
    const double confidence =
        bytes.one_in(8) ? bytes.number<double>(Style::special) : bytes.fraction();
    const LinproInstance instance = make_instance(row, confidence, weight, i, drawn.num_snippets);
    if (instance.end > 0 && (drawn.terms.all_instances || row.inside.size() > 0))
      drawn.instances.push_back(instance);
  }
  return drawn;
}

// Of the case's instances, which must outlive it.
inline LinproComponent component_of(const Case& drawn) {
  LinproComponent component{};
  component.instances = drawn.instances.data();
  component.count = static_cast<int>(drawn.instances.size());
  component.terms = drawn.terms;
  return component;
}

}  // namespace gaufuse
