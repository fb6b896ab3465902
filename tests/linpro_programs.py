"""LinPro programs over snippets, straight from the formula: no cells, no components, none of the
package's solvers. What results are checked against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, linprog
from scipy.sparse import bmat, coo_array, csr_array, identity, vstack

from gaufuse_ext.reference.interval_membership import interval_membership

# Of HiGHS; the default, 1e-7, is coarser than what is compared.
TOLERANCES = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


@dataclass(frozen=True)
class Settings:
    """Arguments of `linpro_labels` under their own names."""

    rows: str = "mean"
    constraint: str = "elastic"
    prices: str = "snippet"
    confidence_weight: float = 0.08
    uniformity_weight: float = 0.04
    anchor_weight: float = 1.0
    variation_weight: float = 0.0
    sparsity_weight: float = 1e-3


@dataclass(frozen=True)
class SnippetProgram:
    """min |prices * (matrix @ x - targets)| + g sum x, 0 <= x <= 1, with the rows of M apart."""

    membership: np.ndarray  # (K, T) M
    confidences: np.ndarray  # (K,)
    weights: np.ndarray  # (K,)
    confidence_prices: np.ndarray  # (K,)
    others: csr_array  # (R, T) of uniformity, anchor and variation
    other_targets: np.ndarray  # (R,)
    other_prices: np.ndarray  # (R,)
    sparsity: float
    hard: bool

    @property
    def num_snippets(self) -> int:
        return self.membership.shape[1]

    def misses(self, x: np.ndarray) -> np.ndarray:
        """(K,) |M x - q|."""
        return np.abs(self.membership @ x - self.confidences)

    def objective(self, x: np.ndarray) -> float:
        value = self.sparsity * x.sum()
        value += self.other_prices @ np.abs(self.others @ x - self.other_targets)
        if not self.hard:
            value += self.confidence_prices @ self.misses(x)
        return float(value)

    def bound(self, duals: Duals) -> float:
        """What the objective cannot be below, whatever the duals (for "hard": at the residual that
        they bound). Clipped to its price, a dual y of a term p |r| gives p |r| >= y r; what then is
        linear in x is least at a corner of [0, 1]^T."""
        y = np.clip(duals.confidences, -duals.limits, duals.limits)
        z = np.clip(duals.others, -self.other_prices, self.other_prices)
        reduced = self.sparsity + self.membership.T @ y + self.others.T @ z
        least = np.minimum(reduced, 0.0).sum() - y @ self.confidences - z @ self.other_targets
        return float(least - duals.allowance)

    def residual_bound(self, duals: np.ndarray) -> float:
        """What the weighted residual cannot be below."""
        y = np.clip(duals, -self.weights, self.weights)
        return float(np.minimum(self.membership.T @ y, 0.0).sum() - y @ self.confidences)


@dataclass(frozen=True)
class Duals:
    confidences: np.ndarray  # (K,)
    others: np.ndarray  # (R,)
    limits: np.ndarray  # (K,) what a dual of a confidence may be
    allowance: float = 0.0  # what the limits cost: price of the residual times its bound


def snippet_program(
    segments: np.ndarray,
    confidences: np.ndarray,
    weights: np.ndarray,
    num_snippets: int,
    settings: Settings,
) -> SnippetProgram:
    """`uniform` over T snippets of the instances that count: of some weight, over a snippet."""
    inside = interval_membership(segments, num_snippets, mode="mean") > 0
    kept = (weights > 0) & inside.any(axis=1)
    inside, q, w = inside[kept], confidences[kept], weights[kept]
    membership = interval_membership(segments, num_snippets, mode=settings.rows)[kept]
    sizes = inside.sum(axis=1)
    per_snippet = settings.prices == "snippet"
    instance, snippet = np.nonzero(inside)
    covered = np.flatnonzero(inside.any(axis=0))
    total = w @ inside
    anchors = (w * q) @ inside[:, covered] / total[covered]
    pair_instance, pair = np.nonzero(inside[:, 1:] & inside[:, :-1])
    count = len(pair)
    steps = coo_array(
        (
            np.concatenate([np.ones(count), -np.ones(count)]),
            (np.tile(np.arange(count), 2), np.concatenate([pair + 1, pair])),
        ),
        shape=(count, num_snippets),
    )
    each = identity(num_snippets, format="csr")
    return SnippetProgram(
        membership=membership,
        confidences=q,
        weights=w,
        confidence_prices=settings.confidence_weight * w * (sizes if per_snippet else 1.0),
        others=csr_array(vstack([each[snippet], each[covered], steps])),
        other_targets=np.concatenate([q[instance], anchors, np.zeros(count)]),
        other_prices=np.concatenate(
            [
                settings.uniformity_weight * (w if per_snippet else w / sizes)[instance],
                np.full(len(covered), settings.anchor_weight),
                settings.variation_weight * w[pair_instance],
            ]
        ),
        sparsity=settings.sparsity_weight,
        hard=settings.constraint == "hard",
    )


@dataclass(frozen=True)
class Optimum:
    objective: float
    duals: Duals
    least_residual: float = 0.0  # of "hard", weighted
    residual_duals: np.ndarray | None = None  # (K,) of "hard"


def find_optimum(program: SnippetProgram) -> Optimum:
    """By scipy. Columns: x, then the amounts below and above each confidence and other target."""
    if len(program.confidences) == 0:  # x = 0
        nothing = np.zeros(0)
        return Optimum(0.0, Duals(nothing, nothing, nothing), residual_duals=nothing)
    if program.hard:
        first = _solve(program, program.weights, 0.0)
        second = _solve(program, 0.0 * program.weights, 1.0, first.fun + 1e-12)
        penalty = -float(second.ineqlin.marginals[0])
        limits, allowance = penalty * program.weights, penalty * first.fun
    else:
        second = _solve(program, program.confidence_prices, 1.0)
        limits, allowance = program.confidence_prices, 0.0
    rows = len(program.confidences)
    duals = -second.eqlin.marginals
    found = Duals(duals[:rows], duals[rows:], limits, allowance)
    if not program.hard:
        return Optimum(float(second.fun), found)
    return Optimum(float(second.fun), found, float(first.fun), -first.eqlin.marginals[:rows])


def _solve(
    program: SnippetProgram,
    confidence_prices: np.ndarray,
    rest: float,
    most_residual: float | None = None,
) -> OptimizeResult:
    """The objective with other prices of the confidences and the rest of it times `rest`."""
    rows, others = len(program.confidences), len(program.other_targets)
    x, amounts = np.ones(program.num_snippets), np.ones(2 * others)
    upper = np.concatenate([x, np.full(2 * rows + 2 * others, np.inf)])
    matrix = bmat(
        [
            [csr_array(program.membership), identity(rows), -identity(rows), None, None],
            [program.others, None, None, identity(others), -identity(others)],
        ],
        format="csr",
    )
    residual = np.concatenate([0.0 * x, np.tile(program.weights, 2), 0.0 * amounts])
    bounded = most_residual is not None
    result = linprog(
        np.concatenate(
            [
                rest * program.sparsity * x,
                np.tile(confidence_prices, 2),
                rest * np.tile(program.other_prices, 2),
            ]
        ),
        residual[None] if bounded else None,
        [most_residual] if bounded else None,
        matrix,
        np.concatenate([program.confidences, program.other_targets]),
        np.stack([np.zeros(len(upper)), upper], axis=1),
        method="highs-ds",
        options=TOLERANCES,
    )
    assert result.status == 0, result.message
    return result
