"""The program of a group, component by component, by a general solver."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gaufuse_ext.linpro.cells import Component, reduce_to_components
from gaufuse_ext.linpro.component import Solver, objective, residual, solve_component
from gaufuse_ext.linpro.terms import LinproTerms


class Solution(NamedTuple):
    """What a group's program came to."""

    labels: np.ndarray  # (T,)
    objective: float
    residual: float
    relaxed: bool  # hard constraints could not be met
    empty: bool  # no instance covers a snippet


def solve_group(
    segments: np.ndarray,
    confidences: np.ndarray,
    weights: np.ndarray,
    num_snippets: int,
    terms: LinproTerms,
    solver: Solver,
) -> Solution:
    """Labels of one group of instances (K, 2) with confidences (K,) and weights (K,).

    Instances of weight zero are left out, and with `uniform` those that cover no snippet.
    """
    terms, unit = terms.in_own_unit()
    labels = np.zeros(num_snippets)
    kept = weights > 0.0
    if not terms.all_instances:
        first, last = (segments.clip(0, num_snippets)).astype(np.int64).T
        kept &= last > first
    segments, confidences, weights = segments[kept], confidences[kept], weights[kept]
    total = missed = 0.0
    any_relaxed, empty = False, True
    components = reduce_to_components(segments, confidences, weights, num_snippets, terms.rows)
    for component in components:
        x, relaxed = solve_component(component, terms, solver)
        total += objective(component, terms, x)
        missed += residual(component, x)
        any_relaxed |= relaxed
        empty &= not component.inside.any()
        _spread(labels, component, x)
    return Solution(labels, unit * total, missed, any_relaxed, empty)


def _spread(labels: np.ndarray, component: Component, x: np.ndarray) -> None:
    for start, length, score in zip(component.starts, component.lengths, x, strict=True):
        labels[start : start + int(length)] = score
