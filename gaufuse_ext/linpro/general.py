"""Any LinPro program, component by component, by a general solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaufuse_ext.linpro import released, uniform
from gaufuse_ext.linpro.cells import Component, reduce_to_components
from gaufuse_ext.linpro.program import Program
from gaufuse_ext.linpro.uniform import UniformWeights


class Solution(NamedTuple):
    labels: np.ndarray  # (T,)
    objective: float
    residual: float
    relaxed: bool  # `released` constraints could not be met
    empty: bool  # no instance covers a snippet


@dataclass(frozen=True)
class Formula:
    """One formulation and its constants."""

    formulation: str
    rows: str
    weights: UniformWeights

    def solve(
        self,
        instances: np.ndarray,
        q: np.ndarray,
        num_snippets: int,
        solver: Callable[[Program], np.ndarray],
    ) -> Solution:
        """Labels of one group of instances (K, 2) with confidences q (K,)."""
        mode = released.MODE if self.formulation == "released" else self.rows
        labels = np.zeros(num_snippets)
        objective = residual = 0.0
        any_relaxed, empty = False, True
        for component in reduce_to_components(instances, q, num_snippets, mode):
            if self.formulation == "released":
                x, relaxed = released.solve_released(component, solver)
                any_relaxed |= relaxed
                objective += released.objective(component, x)
                residual += released.residual(component, x)
            else:
                x = uniform.solve_uniform(component, self.weights, solver)
                objective += uniform.objective(component, self.weights, x)
                residual += uniform.residual(component, x)
            _spread(labels, component, np.clip(x, 0.0, 1.0))
            empty &= not component.inside.any()
        return Solution(labels, objective, residual, any_relaxed, empty)


def _spread(labels: np.ndarray, component: Component, x: np.ndarray) -> None:
    for start, length, score in zip(component.starts, component.lengths, x, strict=True):
        labels[start : start + int(length)] = score
