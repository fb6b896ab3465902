"""The `uniform` formulation, the paper's two requirements as one l1 program (method section 4):

    min  sum_i a |(M x)_i - q_i|                      (1) an instance's mean equals its confidence
       + sum_i (b / n_i) sum_{t in i} |x_t - q_i|     (2) its snippets are equivalent: uniform
       + g sum_t x_t                                  nothing more than the instances ask for
    s.t. 0 <= x <= 1

It is always feasible. n_i counts the snippets that instance i covers; an instance that covers none
is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gaufuse_ext.linpro.cells import Component
from gaufuse_ext.linpro.program import Program


class UniformWeights(NamedTuple):
    confidence: float = 1.0  # a
    uniformity: float = 0.1  # b
    sparsity: float = 1e-3  # g


def solve_uniform(
    component: Component, weights: UniformWeights, solve: Callable[[Program], np.ndarray]
) -> np.ndarray:
    """Scores of the cells (C,)."""
    kept = component.sizes > 0
    if not kept.any():
        return np.zeros(len(component.lengths))
    if kept.sum() == 1 and (component.rows[kept] >= 0).all():
        return _alone(component, weights, kept)
    program, widths = _program(component, weights, kept)
    point = solve(program)
    return np.add.reduceat(point[: widths.sum()], np.cumsum(widths) - widths)


def objective(component: Component, weights: UniformWeights, x: np.ndarray) -> float:
    kept = component.sizes > 0
    deviation = np.abs(x - component.confidences[:, None]) * component.inside * component.lengths
    uniformity = (deviation[kept].sum(axis=1) / component.sizes[kept]).sum()
    return float(
        weights.confidence * residual(component, x)
        + weights.uniformity * uniformity
        + weights.sparsity * (component.lengths @ x)
    )


def residual(component: Component, x: np.ndarray) -> float:
    """sum_i |(M x)_i - q_i| over the instances that cover a snippet."""
    kept = component.sizes > 0
    means = (component.rows * component.lengths) @ x
    return float(np.abs(means - component.confidences)[kept].sum())


def _alone(component: Component, weights: UniformWeights, kept: np.ndarray) -> np.ndarray:
    """One instance without a ring: every snippet at the confidence, or at zero where the sum
    costs more than the distance from it."""
    size = component.sizes[kept][0]
    pays = weights.confidence + weights.uniformity >= weights.sparsity * size
    level = float(np.clip(component.confidences[kept][0], 0.0, 1.0)) if pays else 0.0
    return np.where(component.inside[kept][0], level, 0.0)


def _program(
    component: Component, weights: UniformWeights, kept: np.ndarray
) -> tuple[Program, np.ndarray]:
    """The program, and how many columns (pieces) each cell has.

    What a cell pays, sum_i w_i |x - q_i| + g n x, is convex and piecewise linear in its own x: x is
    the sum of one column per piece, bounded by the piece's width and priced at its slope, so the
    uniformity terms need no rows. Behind the pieces come the amounts below and above each
    confidence.
    """
    confidences = component.targets[kept]
    columns = component.inside[kept]
    price = weights.uniformity * columns * component.lengths / component.sizes[kept][:, None]
    slopes, uppers, widths = [], [], []
    for cell in range(len(component.lengths)):
        covering = np.flatnonzero(columns[:, cell])
        breaks = confidences[covering]
        order = np.argsort(breaks, kind="stable")
        inner = np.clip(breaks[order], 0.0, 1.0)
        knots = np.concatenate([[0.0], inner, [1.0]])
        steps = 2.0 * price[covering[order], cell]
        slope = -price[covering, cell].sum() + np.concatenate([[0.0], np.cumsum(steps)])
        slopes.append(slope + weights.sparsity * component.lengths[cell])
        uppers.append(np.diff(knots))
        widths.append(len(slope))
    widths = np.array(widths)
    amounts = len(confidences)
    matrix = np.repeat(component.rows[kept] * component.lengths, widths, axis=1)
    program = Program(
        cost=np.concatenate([*slopes, np.full(2 * amounts, weights.confidence)]),
        lower=np.zeros(widths.sum() + 2 * amounts),
        upper=np.concatenate([*uppers, np.full(2 * amounts, np.inf)]),
        matrix=np.hstack([matrix, np.eye(amounts), -np.eye(amounts)]),
        row_lower=confidences,
        row_upper=confidences,
    )
    return program, widths
