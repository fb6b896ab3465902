// Sums over ranges of items that change one at a time: a binary tree whose nodes are made anew from
// their children, so that nothing is left behind of what was taken out. On the caller's memory.
#pragma once

#include "gaufuse/arena.h"

namespace gaufuse {

// Value: with operator+, commutative but not associative in rounding, and zero as Value{}.
template <typename Value>
struct SumTree {
  int leaves;    // a power of two
  Value* nodes;  // (2 * leaves,) children of i: 2 i and 2 i + 1; the root is 1

  bool lay_out(Arena& arena, int items) {
    leaves = 1;
    while (leaves < items) leaves *= 2;
    nodes = arena.take<Value>(2 * static_cast<int64_t>(leaves));
    if (nodes == nullptr) return false;
    for (int i = 0; i < 2 * leaves; ++i) nodes[i] = Value{};
    return true;
  }

  void set(int item, Value value) {
    int at = leaves + item;
    nodes[at] = value;
    for (; at > 1; at /= 2) {
      value = value + nodes[at ^ 1];
      nodes[at / 2] = value;
    }
  }

  const Value& total() const { return nodes[1]; }

  // Of the items before `end`.
  Value sum_before(int end) const {
    if (end >= leaves) return total();
    Value sum{};
    for (int at = leaves + end; at > 1; at /= 2)
      if (at & 1) sum = nodes[at - 1] + sum;
    return sum;
  }

  // The first item up to and with which of(sum) is at least `least`, `leaves` where there is none;
  // of() must not be negative. Sums round as they are added up: where that matters it may be an
  // item next to that one, but never one of which of() is zero.
  template <typename Of>
  int find(double least, Of of) const {
    if (of(total()) < least) return leaves;
    Value before{};
    int at = 1;
    while (at < leaves) {
      at *= 2;
      const Value with_left = before + nodes[at];
      if (of(with_left) >= least || !(of(nodes[at + 1]) > 0.0)) continue;
      before = with_left;
      ++at;
    }
    return at - leaves;
  }
};

}  // namespace gaufuse
