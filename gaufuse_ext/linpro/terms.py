"""What a LinPro program asks for: its terms and their prices (method section 4)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gaufuse_ext.linpro.cells import Component


class LinproTerms(NamedTuple):
    """The objective, instance by instance i of weight w_i that covers n_i snippets,

        sum_i a_i |(M x)_i - q_i|  +  sum_i b_i sum_{t in i} |x_t - q_i|  +  c sum_t |x_t - m_t|
      + v sum_i w_i sum_{t, t + 1 in i} |x_{t+1} - x_t|  +  g sum_t x_t,      0 <= x <= 1,

    where m_t is the mean confidence of the instances that cover t, weighted by w. Prices of an
    instance: a_i = a w_i, b_i = b w_i / n_i; prices of a snippet: a_i = a w_i n_i, b_i = b w_i.
    """

    confidence: float  # a
    uniformity: float  # b
    anchor: float  # c
    variation: float  # v
    sparsity: float  # g
    per_snippet: bool
    # M x = q is a constraint and a is not used; where it cannot be met, the least weighted l1
    # residual comes first and the rest of the objective second.
    hard: bool
    rows: str  # of M, as for interval_membership
    all_instances: bool  # rows of instances that cover no snippet count, too

    def confidence_prices(self, component: Component) -> np.ndarray:
        """(K,) a_i."""
        prices = self.confidence * component.weights
        return prices * component.sizes if self.per_snippet else prices

    def uniformity_prices(self, component: Component) -> np.ndarray:
        """(K,) b_i; zero where an instance covers no snippet."""
        prices = self.uniformity * component.weights
        return prices if self.per_snippet else prices / component.sizes.clip(min=1.0)

    def in_own_unit(self) -> tuple[LinproTerms, float]:
        """The same in units of the largest weight, and that unit. Solvers' tolerances are absolute:
        prices of 1e-12 would all count as none. A power of two, so that nothing is rounded."""
        names = ("confidence", "uniformity", "anchor", "variation", "sparsity")
        largest = max(getattr(self, name) for name in names if not (self.hard and name == names[0]))
        unit = math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > 0.0 else 1.0
        return self._replace(**{name: getattr(self, name) / unit for name in names}), unit


# min sum(x) s.t. M_contrast x = q: the authors' release.
RELEASED = LinproTerms(
    confidence=0.0,
    uniformity=0.0,
    anchor=0.0,
    variation=0.0,
    sparsity=1.0,
    per_snippet=False,
    hard=True,
    rows="contrast",
    all_instances=True,
)
