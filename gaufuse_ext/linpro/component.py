"""The program of one component, for a general solver: the reference of the native one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gaufuse_ext.linpro.cells import Component
from gaufuse_ext.linpro.program import Entries, Infeasible, Optimum, Program
from gaufuse_ext.linpro.terms import LinproTerms

MET = 1e-9  # a residual up to here is none
NO_COST = 1e-8  # a reduced cost up to here is zero: ten times the solver's tolerance
LIGHTEST = 1e-6  # of the heaviest instance's weight, in a relaxation
Solver = Callable[[Program], Optimum]


def solve_component(
    component: Component, terms: LinproTerms, solve: Solver
) -> tuple[np.ndarray, bool]:
    """Scores of the cells (C,), and whether hard constraints had to be relaxed."""
    if len(component.lengths) == 0:
        return np.zeros(0), bool(np.abs(component.confidences).max(initial=0.0) > MET)
    columns = _columns(component, terms)
    if not terms.hard:
        return columns.scores(solve(_elastic(component, terms, columns)).point), False
    try:
        return columns.scores(solve(_exact(component, columns)).point), False
    except Infeasible:
        return columns.scores(_relaxed(component, columns, solve)), True


def objective(component: Component, terms: LinproTerms, x: np.ndarray) -> float:
    """Of any scores of the cells (C,)."""
    lengths, inside, weights = component.lengths, component.inside, component.weights
    deviation = (np.abs(x - component.confidences[:, None]) * inside) @ lengths
    value = terms.sparsity * (lengths @ x) + terms.uniformity_prices(component) @ deviation
    if not terms.hard:
        value += terms.confidence_prices(component) @ _misses(component, x)
    covered = inside.any(axis=0)
    value += terms.anchor * (lengths * np.abs(x - component.anchors))[covered].sum()
    both = inside[:, 1:] & inside[:, :-1]
    value += terms.variation * (weights @ (both * np.abs(np.diff(x)))).sum()
    return float(value)


def residual(component: Component, x: np.ndarray) -> float:
    """sum_i |(M x)_i - q_i|."""
    return float(_misses(component, x).sum())


def _misses(component: Component, x: np.ndarray) -> np.ndarray:
    misses: np.ndarray = np.abs((component.rows * component.lengths) @ x - component.confidences)
    return misses


@dataclass(frozen=True)
class _Columns:
    """What a cell pays in its own x is convex and piecewise linear: x is the sum of a column for
    every piece, as wide as the piece and priced at its slope. Then come, for each pair of
    neighbouring cells of an instance, the rise and the fall of x between them."""

    cell: np.ndarray  # (V,) of each piece
    upper: np.ndarray  # (V,)
    cost: np.ndarray  # (V + 2 P,)
    pairs: np.ndarray  # (P,) the first cell of each
    cells: int

    def entries(self, rows: np.ndarray, cells: np.ndarray, values: np.ndarray) -> Entries:
        """Entries over cells as entries over columns: those of a cell's pieces are the cell's."""
        pieces = np.bincount(self.cell, minlength=self.cells)
        first = np.cumsum(pieces) - pieces
        count = pieces[cells]
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        columns = np.repeat(first[cells], count) + within
        return Entries(np.repeat(rows, count), columns, np.repeat(values, count))

    def pair_entries(self, first_row: int) -> Entries:
        """(P, V + 2 P): difference + rise - fall = 0."""
        pairs, one = np.arange(len(self.pairs)), np.ones(len(self.pairs))
        rows = first_row + pairs
        rises = len(self.cell) + pairs
        return (
            self.entries(rows, self.pairs, one)
            .and_also(*self.entries(rows, self.pairs + 1, -one))
            .and_also(rows, rises, one)
            .and_also(rows, len(self.pairs) + rises, -one)
        )

    def scores(self, point: np.ndarray) -> np.ndarray:
        pieces = point[: len(self.cell)]
        return np.bincount(self.cell, weights=pieces, minlength=self.cells).clip(0.0, 1.0)


def cell_pieces(
    component: Component, terms: LinproTerms
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What cells pay in their own x, piece by piece from 0 to 1: the cell of each piece, its width,
    its slope (times the cell's length), all (V,)."""
    by_target = np.argsort(component.targets, kind="stable")
    cells, terms_of_cells = np.nonzero(component.inside[by_target].T)
    instances = by_target[terms_of_cells]
    counts = np.bincount(cells, minlength=len(component.lengths))
    places = np.arange(len(cells)) - np.repeat(np.cumsum(counts) - counts, counts)
    # A row of breaks for each cell: instances, the anchor where one covers it, the end.
    breaks = np.full((len(counts), counts.max(initial=0) + 2), np.inf)
    prices = np.zeros(breaks.shape)
    breaks[cells, places] = component.targets[instances]
    prices[cells, places] = terms.uniformity_prices(component)[instances]
    covered = np.flatnonzero(counts)
    breaks[covered, counts[covered]] = component.anchors[covered].clip(-1.0, 2.0)
    prices[covered, counts[covered]] = terms.anchor
    order = np.argsort(breaks, axis=1, kind="stable")
    breaks = np.take_along_axis(breaks, order, axis=1)
    prices = np.take_along_axis(prices, order, axis=1)
    widths = np.diff(breaks.clip(0.0, 1.0), axis=1, prepend=0.0)
    # A piece ends at its break, so it lies above those before.
    slopes = 2.0 * (np.cumsum(prices, axis=1) - prices) - prices.sum(axis=1, keepdims=True)
    slopes = (slopes + terms.sparsity) * component.lengths[:, None]
    cells, pieces = np.nonzero(widths)
    return cells, widths[cells, pieces], slopes[cells, pieces]


def _columns(component: Component, terms: LinproTerms) -> _Columns:
    cell, widths, slopes = cell_pieces(component, terms)
    both = component.inside[:, 1:] & component.inside[:, :-1]
    prices = terms.variation * (component.weights @ both)
    first = np.flatnonzero(prices)
    return _Columns(
        cell,
        widths,
        np.concatenate([slopes, prices[first], prices[first]]),
        first,
        len(component.lengths),
    )


def _exact(component: Component, columns: _Columns) -> Program:
    targets, pairs = component.targets, len(columns.pairs)
    right = np.concatenate([targets, np.zeros(pairs)])
    amounts = component.rows * component.lengths
    rows, cells = np.nonzero(amounts)
    entries = columns.entries(rows, cells, amounts[rows, cells])
    return Program(
        cost=columns.cost,
        lower=np.zeros(len(columns.cost)),
        upper=np.concatenate([columns.upper, np.full(2 * pairs, np.inf)]),
        matrix=entries.and_also(*columns.pair_entries(len(targets))),
        row_lower=right,
        row_upper=right,
    )


def _with_amounts(exact: Program, amounts: int, cost: np.ndarray) -> Program:
    """The same with the amounts below and above each of the first rows' right sides."""
    rows, one = np.arange(amounts), np.ones(amounts)
    below = len(exact.cost) + rows
    return Program(
        cost=cost,
        lower=np.zeros(len(cost)),
        upper=np.concatenate([exact.upper, np.full(2 * amounts, np.inf)]),
        matrix=exact.matrix.and_also(rows, below, one).and_also(rows, amounts + below, -one),
        row_lower=exact.row_lower,
        row_upper=exact.row_upper,
    )


def _elastic(component: Component, terms: LinproTerms, columns: _Columns) -> Program:
    prices = terms.confidence_prices(component)
    cost = np.concatenate([columns.cost, prices, prices])
    return _with_amounts(_exact(component, columns), len(prices), cost)


def _relaxed(component: Component, columns: _Columns, solve: Solver) -> np.ndarray:
    """The least residual first. A column with a reduced cost there has the same value in every
    solution, so the second program, of the least cost, leaves it as it is."""
    exact = _exact(component, columns)
    weights = component.weights / component.weights.max()
    weights = weights.clip(min=LIGHTEST)  # lighter ones would be lost in the tolerances
    total = np.concatenate([np.zeros(len(exact.cost)), weights, weights])
    elastic = _with_amounts(exact, len(weights), total)
    least = solve(elastic)
    fixed = np.abs(least.reduced_costs) > NO_COST
    cheapest = replace(
        elastic,
        cost=np.concatenate([exact.cost, np.zeros(2 * len(weights))]),
        lower=np.where(fixed, least.point, elastic.lower),
        upper=np.where(fixed, least.point, elastic.upper),
    )
    try:
        return solve(cheapest).point
    except Infeasible:  # by no more than the solver's tolerance
        return least.point
