"""LinPro pseudo labels: scored instances to snippet labels by an l1 linear program."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._groups import scored_groups
from gaufuse_ext._library import _native, call_native
from gaufuse_ext.linpro import highs
from gaufuse_ext.linpro.general import Formula
from gaufuse_ext.linpro.uniform import UniformWeights
from gaufuse_ext.ops.interval_membership import MODES

FORMULATIONS = ("uniform", "released")  # in the order of gaufuse::Formulation
BACKENDS = ("auto", "native", "highs")
ROWS = ("mean", "contrast_mean")
MARGIN, MARGIN_POWER = 0.0785, 0.9  # of the ring, as for interval_membership


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
    gap: torch.Tensor  # (G,) between objective and dual bound, relative; NaN where HiGHS solved
    pivots: torch.Tensor  # (G,) int64, simplex pivots of the native solver
    backend: list[str] | str  # (G,) "native" or "highs"


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
        backend: "native", our own simplex for components of up to 24 instances: every result is
            proved by its dual, to a gap of 1e-9. "highs", the general solver. "auto": native, and
            HiGHS for the groups that it leaves (too large, infeasible, not proved).
        rows: "mean", or "contrast_mean" to subtract the ring's mean; `uniform` only.
        lengths: (G,) valid snippets of each group; T by default.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start.
        RuntimeError: backend="native" cannot solve a group.
    """
    segments, scores, counts, batched = scored_groups(segments, scores, counts)
    _checks.check_integer("num_snippets", num_snippets, 0)
    _checks.check_choice("formulation", formulation, FORMULATIONS)
    _checks.check_choice("rows", rows, ROWS)
    _checks.check_choice("backend", backend, BACKENDS)
    weights = UniformWeights(
        _checks.check_not_negative("confidence_weight", confidence_weight),
        _checks.check_not_negative("uniformity_weight", uniformity_weight),
        _checks.check_not_negative("sparsity_weight", sparsity_weight),
    )
    groups, device = len(segments), segments.device
    if lengths is not None:
        lengths = _checks.check_counts("lengths", lengths, groups, device).cpu()
    instances = _Instances(
        segments.detach().to("cpu", torch.float64).contiguous(),
        scores.detach().to("cpu", torch.float64).contiguous(),
        None if counts is None else counts.cpu(),
        lengths,
    )
    formula = Formula(formulation, rows, weights)
    found = _solve_natively(formula, instances, num_snippets)  # checks values, too
    status = [_NATIVE_STATUS.get(code) for code in found.status.tolist()]
    used = ["native"] * groups
    for g in range(groups):
        if backend != "highs" and status[g] is not None:
            continue
        if backend == "native":
            raise RuntimeError(
                f"the native backend cannot solve group {g} (too large, infeasible, or not proved "
                'optimal); backend="auto" hands such groups to HiGHS'
            )
        status[g] = _solve_by_highs(g, formula, instances, found)
        used[g] = "highs"

    values = (x.to(segments) for x in (found.labels, found.objective, found.residual))
    proofs = (found.gap.to(device), found.pivots.to(device))
    if batched:
        return LinproLabels(*values, status, *proofs, used)
    values, proofs = ((x.squeeze(0) for x in group) for group in (values, proofs))
    return LinproLabels(*values, status[0], *proofs, used[0])


class _Instances(NamedTuple):
    """The arguments on the CPU."""

    segments: torch.Tensor  # (G, N, 2) float64
    scores: torch.Tensor  # (G, N) float64
    counts: torch.Tensor | None  # (G,) int64
    lengths: torch.Tensor | None  # (G,) int64


class _Found(NamedTuple):
    """Outputs of the native solver, on the CPU, in its order."""

    labels: torch.Tensor  # (G, T) float64
    objective: torch.Tensor  # (G,) float64
    residual: torch.Tensor  # (G,) float64
    gap: torch.Tensor  # (G,) float64
    pivots: torch.Tensor  # (G,) int64
    status: torch.Tensor  # (G,) int64


_NATIVE_STATUS = {0: LinproStatus.EMPTY, 1: LinproStatus.OPTIMAL}  # gaufuse::LinproStatus


def _solve_natively(formula: Formula, instances: _Instances, num_snippets: int) -> _Found:
    scores = instances.scores
    groups, capacity = scores.shape
    found = _Found(
        scores.new_empty((groups, num_snippets)),
        *(scores.new_empty((groups,)) for _ in range(3)),
        *(scores.new_empty((groups,), dtype=torch.int64) for _ in range(2)),
    )
    call_native(
        _native.linpro_labels,
        scores,
        *instances,
        *found,
        groups,
        capacity,
        num_snippets,
        MARGIN,
        MARGIN_POWER,
        *formula.weights,
        MODES.index(formula.rows),
        FORMULATIONS.index(formula.formulation),
    )
    return found


def _solve_by_highs(
    group: int, formula: Formula, instances: _Instances, found: _Found
) -> LinproStatus:
    """Solves a group and writes its part of `found`."""
    segments, scores, counts, lengths = instances
    count = scores.shape[1] if counts is None else int(counts[group])
    length = found.labels.shape[1] if lengths is None else int(lengths[group])
    solution = formula.solve(
        segments[group, :count].numpy(), scores[group, :count].numpy(), length, highs.solve
    )
    found.labels[group] = 0.0
    found.labels[group, :length] = torch.from_numpy(solution.labels)
    found.objective[group] = solution.objective
    found.residual[group] = solution.residual
    found.gap[group] = torch.nan
    found.pivots[group] = 0
    if solution.relaxed:
        return LinproStatus.RELAXED
    return LinproStatus.EMPTY if solution.empty else LinproStatus.OPTIMAL
