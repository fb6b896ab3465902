"""The `released` formulation: min sum(x) s.t. M_contrast x = q, 0 <= x <= 1.

Where no x satisfies it (the release then writes NaN), the l1 residual is minimised first and
sum(x) second, at that residual.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from gaufuse_ext.linpro.cells import Component
from gaufuse_ext.linpro.program import Infeasible, Program

MODE = "contrast"
MET = 1e-9  # a residual up to here is none


def solve_released(
    component: Component, solve: Callable[[Program], np.ndarray]
) -> tuple[np.ndarray, bool]:
    """Scores of the cells (C,), and whether the constraints had to be relaxed."""
    if len(component.instances) == 1:
        return _alone(component)
    try:
        return solve(_exact(component)), False
    except Infeasible:
        return _relaxed(component, solve), True


def objective(component: Component, x: np.ndarray) -> float:
    return float(component.lengths @ x)


def residual(component: Component, x: np.ndarray) -> float:
    """sum_i |(M x)_i - q_i|."""
    return float(np.abs((component.rows * component.lengths) @ x - component.confidences).sum())


def _alone(component: Component) -> tuple[np.ndarray, bool]:
    """One instance: its mass, or a negative confidence's mass in the ring, spread evenly."""
    q = component.confidences[0]
    carriers = component.rows[0] > 0 if q > 0 else component.rows[0] < 0
    size = component.lengths[carriers].sum()
    level = min(1.0, abs(q) / size) if size > 0 else 0.0
    return np.where(carriers, level, 0.0), bool(abs(q) > size + MET)


def _exact(component: Component) -> Program:
    cells = len(component.lengths)
    return Program(
        cost=component.lengths,
        lower=np.zeros(cells),
        upper=np.ones(cells),
        matrix=component.rows * component.lengths,
        row_lower=component.targets,
        row_upper=component.targets,
    )


def _relaxed(component: Component, solve: Callable[[Program], np.ndarray]) -> np.ndarray:
    exact = _exact(component)
    cells, rows = len(exact.cost), len(exact.row_lower)
    # Columns: x, then the amounts below and above each confidence.
    matrix = np.hstack([exact.matrix, np.eye(rows), -np.eye(rows)])
    total = np.concatenate([np.zeros(cells), np.ones(2 * rows)])
    lower = np.zeros(cells + 2 * rows)
    upper = np.concatenate([np.ones(cells), np.full(2 * rows, np.inf)])
    elastic = Program(total, lower, upper, matrix, exact.row_lower, exact.row_upper)
    point = solve(elastic)
    least = float(total @ point)
    smallest = Program(
        cost=np.concatenate([exact.cost, np.zeros(2 * rows)]),
        lower=lower,
        upper=upper,
        matrix=np.vstack([matrix, total]),
        row_lower=np.append(exact.row_lower, -np.inf),
        row_upper=np.append(exact.row_upper, least + 1e-9 * (1.0 + least)),
    )
    # Infeasible: the residual bound lies within the solver's tolerance. Keep the first point.
    with contextlib.suppress(Infeasible):
        point = solve(smallest)
    return point[:cells]
