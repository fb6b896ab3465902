"""A proof that a component's labels are optimal, which trusts no solver (method section 4).

Any duals y of the confidences, |y_i| <= a_i, bound the objective from below: a_i |r| >= y_i r for
the miss r = (M x)_i - q_i, and with the misses linear every cell is on its own. Here they are found
from the labels alone: where a confidence is missed, y_i must be a_i or -a_i; where it is met, it is
whatever makes the labels of the cells their best ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gaufuse_ext.linpro.cells import Component
from gaufuse_ext.linpro.component import Solver, cell_pieces, objective
from gaufuse_ext.linpro.program import Entries, Program
from gaufuse_ext.linpro.terms import LinproTerms

MET = 1e-9  # a miss up to here is none, and so is a way to a knot


class Certificate(NamedTuple):
    """The labels' objective, and what no labels are below."""

    objective: float
    bound: float

    @property
    def gap(self) -> float:
        """Relative, or absolute below one. Of optimal labels: rounding."""
        return (self.objective - self.bound) / max(1.0, abs(self.objective))


def certify(component: Component, terms: LinproTerms, x: np.ndarray, solve: Solver) -> Certificate:
    """Of scores of the cells (C,), with a solver for duals of what is met: a wrong one proves less.

    Raises:
        ValueError: scores outside of [0, 1]; hard constraints or a variation.
    """
    if not ((x >= 0.0) & (x <= 1.0)).all():
        raise ValueError("scores must lie in [0, 1]")
    if terms.hard or terms.variation > 0.0:
        raise ValueError("only elastic constraints without a variation are certified")
    lengths, amounts = component.lengths, component.rows * component.lengths
    cell, widths, slopes = cell_pieces(component, terms)  # slopes: times the cell's length
    misses = amounts @ x - component.confidences
    limits = terms.confidence_prices(component)
    duals = limits * np.sign(misses) * (np.abs(misses) > MET)
    free = np.flatnonzero(np.abs(misses) <= MET)
    least, most = _slopes_at(x, cell, widths, slopes)
    pulled = duals @ amounts
    duals[free] = _duals_of_met(limits[free], amounts[free], -most - pulled, -least - pulled, solve)
    duals = duals.clip(-limits, limits)

    nothing = np.zeros(len(lengths))
    at_zero = objective(component, terms, nothing) - limits @ np.abs(component.confidences)
    reduced = slopes + (duals @ amounts)[cell]
    bound = at_zero + np.minimum(reduced, 0.0) @ widths - duals @ component.confidences
    return Certificate(objective(component, terms, x), float(bound))


def _slopes_at(
    x: np.ndarray, cell: np.ndarray, widths: np.ndarray, slopes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(C,) of what cells pay, left and right of their x; infinite at the ends of [0, 1]."""
    ends = np.cumsum(widths) - cell  # of pieces: those of each cell before have made one
    left, right = np.full(len(x), -np.inf), np.full(len(x), np.inf)
    np.maximum.at(left, cell, np.where(ends - widths < x[cell] - MET, slopes, -np.inf))
    np.minimum.at(right, cell, np.where(ends > x[cell] + MET, slopes, np.inf))
    return left, right


def _duals_of_met(
    limits: np.ndarray, amounts: np.ndarray, least: np.ndarray, most: np.ndarray, solve: Solver
) -> np.ndarray:
    """(F,) within their limits, whose pull at each cell lies between `least` and `most`, or beside
    by as little as can be."""
    cells = np.arange(len(least))
    free, one = len(limits), np.ones(len(least))
    rows, columns = np.nonzero(amounts.T)
    program = Program(
        cost=np.concatenate([np.zeros(free), one, one]),
        lower=np.concatenate([-limits, 0.0 * one, 0.0 * one]),
        upper=np.concatenate([limits, np.inf * one, np.inf * one]),
        matrix=Entries(rows, columns, amounts.T[rows, columns])
        .and_also(cells, free + cells, one)
        .and_also(cells, free + len(cells) + cells, -one),
        row_lower=least,
        row_upper=most,
    )
    return solve(program).point[:free]
