"""LinPro pseudo labels: scored instances to snippet labels by an l1 linear program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch

from gaufuse_ext import _checks
from gaufuse_ext.linpro import highs, released, uniform
from gaufuse_ext.linpro.cells import Component, reduce_to_components
from gaufuse_ext.linpro.uniform import UniformWeights

FORMULATIONS = ("uniform", "released")
BACKENDS = {"auto": highs.solve, "highs": highs.solve}
ROWS = ("mean", "contrast_mean")


class LinproStatus(StrEnum):
    """How a group's labels came about; compares equal to its text."""

    OPTIMAL = "optimal"
    RELAXED = "relaxed"  # `released` constraints were infeasible: least l1 residual instead
    EMPTY = "empty"  # no instance, or no instance that covers a snippet


@dataclass(frozen=True)
class LinproLabels:
    """Labels of G groups; without the G axis (and one status) for unbatched input."""

    labels: torch.Tensor  # (G, T) in [0, 1], zero outside of instances and rings
    objective: torch.Tensor  # (G,)
    residual: torch.Tensor  # (G,) sum over instances of |M x - q|
    status: list[LinproStatus] | LinproStatus  # (G,)


def linpro_labels(
    segments: torch.Tensor,
    scores: torch.Tensor,
    num_snippets: int,
    counts: _checks.Counts = None,
    *,
    formulation: str = "uniform",
    backend: str = "auto",
    rows: str = "mean",
    confidence_weight: float = 1.0,
    uniformity_weight: float = 0.1,
    sparsity_weight: float = 1e-3,
    lengths: _checks.Counts = None,
) -> LinproLabels:
    """Snippet labels x in [0, 1] of fused instances (paper section 3; method section 4).

    ===========  =============================================================================
    formulation  program
    ===========  =============================================================================
    "uniform"    min a sum_i |(M x)_i - q_i| + b sum_i mean_{t in i} |x_t - q_i| + g sum_t x_t.
                 First term: the mean score inside an instance equals its confidence (the
                 paper's first requirement). Second: its snippets are equivalent (the second
                 requirement). Always feasible. a, b, g: `confidence_weight`,
                 `uniformity_weight`, `sparsity_weight`.
    "released"   min sum_t x_t s.t. (sum inside) - (sum in the ring) = q_i, as the authors'
                 release. Where that is infeasible the l1 residual is minimised first, the sum
                 second; status "relaxed".
    ===========  =============================================================================

    Solved exactly, on cells and per connected component (gaufuse_ext/linpro/cells.py), so the
    cost does not grow with T. Never NaN.

    Args:
        segments: (G, N, 2) or (N, 2) instances in snippets, covering int(start) .. int(end) - 1.
            float32 or float64; CPU or CUDA (solved on the CPU).
        scores: (G, N) or (N,) confidences q, same dtype and device.
        num_snippets: T.
        counts: (G,) valid instances of each group; all N by default.
        backend: "highs", or "auto".
        rows: "mean", or "contrast_mean" to subtract the ring's mean; `uniform` only.
        lengths: (G,) valid snippets of each group; T by default.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start.
    """
    segments = _checks.check_segments("segments", segments)
    scores = _checks.check_like("scores", scores, segments.shape[:-1], segments)
    _checks.check_integer("num_snippets", num_snippets, 0)
    _checks.check_choice("formulation", formulation, FORMULATIONS)
    _checks.check_choice("rows", rows, ROWS)
    solve = BACKENDS[_checks.check_choice("backend", backend, BACKENDS)]
    weights = UniformWeights(
        _checks.check_not_negative("confidence_weight", confidence_weight),
        _checks.check_not_negative("uniformity_weight", uniformity_weight),
        _checks.check_not_negative("sparsity_weight", sparsity_weight),
    )
    batched = segments.dim() == 3
    if not batched:
        segments, scores = segments.unsqueeze(0), scores.unsqueeze(0)
    groups = len(segments)
    counts = _sizes("counts", counts, groups, segments.shape[1], segments.device)
    lengths = _sizes("lengths", lengths, groups, num_snippets, segments.device)
    formula = _Formula(formulation, rows, weights, solve)

    boundaries = segments.detach().cpu().double().numpy()
    confidences = scores.detach().cpu().double().numpy()
    labels = np.zeros((groups, num_snippets))
    objective, residual = np.zeros(groups), np.zeros(groups)
    status = []
    for g, (count, length) in enumerate(zip(counts, lengths, strict=True)):
        instances, q = boundaries[g, :count], confidences[g, :count]
        _check_values(g, instances, q)
        labels[g, :length], objective[g], residual[g], how = formula.solve(instances, q, length)
        status.append(how)

    out = [torch.from_numpy(x).to(segments) for x in (labels, objective, residual)]
    if batched:
        return LinproLabels(*out, status)
    return LinproLabels(*(x.squeeze(0) for x in out), status[0])


@dataclass(frozen=True)
class _Formula:
    """One formulation, its constants and its solver."""

    formulation: str
    rows: str
    weights: UniformWeights
    solver: Callable

    def solve(
        self, instances: np.ndarray, q: np.ndarray, num_snippets: int
    ) -> tuple[np.ndarray, float, float, LinproStatus]:
        mode = released.MODE if self.formulation == "released" else self.rows
        labels = np.zeros(num_snippets)
        objective = residual = 0.0
        status = LinproStatus.EMPTY
        for component in reduce_to_components(instances, q, num_snippets, mode):
            x, relaxed = self._cells(component)
            _spread(labels, component, np.clip(x, 0.0, 1.0))
            objective += self._objective(component, x)
            residual += self._residual(component, x)
            if relaxed:
                status = LinproStatus.RELAXED
            elif status is LinproStatus.EMPTY and component.inside.any():
                status = LinproStatus.OPTIMAL
        return labels, objective, residual, status

    def _cells(self, component: Component) -> tuple[np.ndarray, bool]:
        if self.formulation == "released":
            return released.solve_released(component, self.solver)
        return uniform.solve_uniform(component, self.weights, self.solver), False

    def _objective(self, component: Component, x: np.ndarray) -> float:
        if self.formulation == "released":
            return released.objective(component, x)
        return uniform.objective(component, self.weights, x)

    def _residual(self, component: Component, x: np.ndarray) -> float:
        module = released if self.formulation == "released" else uniform
        return module.residual(component, x)


def _spread(labels: np.ndarray, component: Component, x: np.ndarray) -> None:
    for start, length, score in zip(component.starts, component.lengths, x, strict=True):
        labels[start : start + int(length)] = score


def _sizes(
    name: str, sizes: _checks.Counts, groups: int, capacity: int, device: torch.device
) -> list[int]:
    if sizes is None:
        return [capacity] * groups
    values = _checks.check_counts(name, sizes, groups, device).tolist()
    for g, value in enumerate(values):
        if not 0 <= value <= capacity:
            raise ValueError(f"{name} must lie in [0, {capacity}], got {value} at [{g}]")
    return values


def _check_values(group: int, instances: np.ndarray, q: np.ndarray) -> None:
    for i, (start, end) in enumerate(instances):
        if not np.isfinite(start) or not np.isfinite(end):
            raise ValueError(f"segments must be finite, got [{start}, {end}] at [{group}, {i}]")
        if end < start:
            raise ValueError(
                f"segments must have end >= start, got [{start}, {end}] at [{group}, {i}]"
            )
    bad = np.flatnonzero(~np.isfinite(q))
    if len(bad):
        raise ValueError(f"scores must be finite, got {q[bad[0]]} at [{group}, {bad[0]}]")
