"""A candidate for LinPro's next parameterisation, to be measured before any solver gets it:

    min  a sum_i n_i |(M x)_i - q_i|           (1) an instance's mean equals its confidence
       + b sum_i sum_{t in i} |x_t - q_i|      (2) its snippets are equivalent
       + c sum_t |x_t - m_t|                   (3) near the mean m_t of the confidences that cover t
    s.t. 0 <= x <= 1,  mean rows

Two things differ from `uniform`. Prices are per snippet, not per instance: n_i in (1), no 1 / n_i
in (2), so that a long instance does not give way to the short ones inside it. And (3): where
instances disagree, (2) alone takes their median, as l1 terms do; (3) holds x at their mean, unless
the instances together pull harder than c. As m_t is constant on a cell, (3) is one more breakpoint
of the cell's piecewise linear cost: no rows, and the reduction to cells stays exact.

Plain and slow, on the reference solver's parts: for measurements only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaufuse_ext.linpro import highs
from gaufuse_ext.linpro.cells import Component, reduce_to_components
from gaufuse_ext.linpro.program import Program


@dataclass(frozen=True)
class TrialWeights:
    confidence: float  # a
    uniformity: float  # b
    anchor: float  # c


def trial_labels(
    segments: np.ndarray, scores: np.ndarray, num_snippets: int, weights: TrialWeights
) -> np.ndarray:
    """(T,) labels."""
    labels = np.zeros(num_snippets)
    for component in reduce_to_components(segments, scores, num_snippets, "mean"):
        if component.sizes.any():
            for start, length, score in zip(
                component.starts, component.lengths, _solve(component, weights), strict=True
            ):
                labels[start : start + int(length)] = score
    return labels


def objective(
    segments: np.ndarray, scores: np.ndarray, labels: np.ndarray, weights: TrialWeights
) -> float:
    """Of any labels (T,), snippet by snippet: what `trial_labels` minimises."""
    total = 0.0
    gathered, count = np.zeros(len(labels)), np.zeros(len(labels))
    for (start, end), q in zip(segments.astype(int), scores, strict=True):
        own = labels[start:end]
        total += weights.confidence * abs(float((own - q).sum()))
        total += weights.uniformity * float(np.abs(own - q).sum())
        gathered[start:end] += q
        count[start:end] += 1
    covered = count > 0
    anchor = gathered[covered] / count[covered]
    return total + weights.anchor * float(np.abs(labels[covered] - anchor).sum())


def _solve(component: Component, weights: TrialWeights) -> np.ndarray:
    """Scores of the cells (C,)."""
    kept = component.sizes > 0
    sizes, confidences = component.sizes[kept], component.targets[kept]
    columns = component.inside[kept]
    slopes, uppers, widths = [], [], []
    for cell, length in enumerate(component.lengths):
        covering = confidences[columns[:, cell]]
        breaks = np.append(covering, covering.mean())
        prices = np.append(np.full(len(covering), weights.uniformity), weights.anchor)
        order = np.argsort(breaks, kind="stable")
        knots = np.concatenate([[0.0], np.clip(breaks[order], 0.0, 1.0), [1.0]])
        slope = np.concatenate([[0.0], np.cumsum(2.0 * prices[order])]) - prices.sum()
        slopes.append(slope * length)
        uppers.append(np.diff(knots))
        widths.append(len(slope))
    amounts = len(confidences)
    price = weights.confidence * sizes
    # A scale of about one, as the solver's tolerances are absolute.
    scale = 1.0 / sizes.mean()
    point = highs.solve(
        Program(
            cost=np.concatenate([*slopes, price, price]) * scale,
            lower=np.zeros(sum(widths) + 2 * amounts),
            upper=np.concatenate([*uppers, np.full(2 * amounts, np.inf)]),
            matrix=np.hstack(
                [
                    np.repeat(component.rows[kept] * component.lengths, widths, axis=1),
                    np.eye(amounts),
                    -np.eye(amounts),
                ]
            ),
            row_lower=confidences,
            row_upper=confidences,
        )
    )
    return np.add.reduceat(point[: sum(widths)], np.cumsum(widths) - widths)
