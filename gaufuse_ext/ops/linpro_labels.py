"""LinPro pseudo labels: scored instances to snippet labels by an l1 linear program."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._groups import scored_groups, valid_mask
from gaufuse_ext._library import _native, call_native
from gaufuse_ext.linpro import highs
from gaufuse_ext.linpro.explain import Conflict, find_conflicts
from gaufuse_ext.linpro.group import solve_group
from gaufuse_ext.linpro.terms import RELEASED, LinproTerms
from gaufuse_ext.ops.interval_membership import MODES

FORMULATIONS = ("uniform", "released")
BACKENDS = ("auto", "native", "highs")
ROWS = ("mean", "contrast_mean")
PRICES = ("snippet", "instance")
CONSTRAINTS = ("elastic", "hard")
WEIGHTS = ("constant", "confidence", "exponential")
MARGIN, MARGIN_POWER = 0.0785, 0.9  # of the ring, as for interval_membership


class LinproStatus(StrEnum):
    """How a group's labels came about; compares equal to its text."""

    OPTIMAL = "optimal"
    RELAXED = "relaxed"  # hard constraints were infeasible: least l1 residual instead
    EMPTY = "empty"  # no instance, or no instance that covers a snippet


class _Instances(NamedTuple):
    """The arguments on the CPU, contiguous."""

    segments: torch.Tensor  # (G, N, 2) float64
    scores: torch.Tensor  # (G, N) float64
    weights: torch.Tensor | None  # (G, N) float64; None: ones
    counts: torch.Tensor | None  # (G,) int64
    lengths: torch.Tensor | None  # (G,) int64

    def group(self, index: int) -> tuple:
        """Segments, scores and weights of one group, without padding, as NumPy."""
        count = self.scores.shape[1] if self.counts is None else int(self.counts[index])
        weights = torch.ones_like(self.scores) if self.weights is None else self.weights
        return tuple(x[index, :count].numpy() for x in (self.segments, self.scores, weights))


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
    _instances: _Instances = field(repr=False)
    _rows: str = field(repr=False)

    def explain(self, group: int = 0) -> list[Conflict]:
        """The instances of a group whose confidences the labels do not meet, the worst first: by
        how much, and which overlapping instances pull the other way. Empty where all are met.

        Raises:
            IndexError: there is no such group.
        """
        groups = len(self._instances.scores)
        if not 0 <= group < groups:
            raise IndexError(f"group must lie in [0, {groups}), got {group}")
        labels = self.labels if self.labels.dim() == 1 else self.labels[group]
        lengths = self._instances.lengths
        if lengths is not None:
            labels = labels[: int(lengths[group])]
        return find_conflicts(
            *self._instances.group(group), labels.double().cpu().numpy(), self._rows
        )


def linpro_labels(
    segments: torch.Tensor,
    scores: torch.Tensor,
    num_snippets: int,
    counts: _checks.Counts = None,
    *,
    formulation: str = "uniform",
    backend: str = "auto",
    rows: str = "mean",
    constraint: str = "elastic",
    prices: str = "snippet",
    weights: torch.Tensor | str | None = None,
    weight_temperature: float = 0.2,
    confidence_weight: float = 0.08,
    uniformity_weight: float = 0.04,
    anchor_weight: float = 1.0,
    variation_weight: float = 0.0,
    sparsity_weight: float = 1e-3,
    lengths: _checks.Counts = None,
) -> LinproLabels:
    """Snippet labels x in [0, 1] of fused instances (paper section 3; method section 4).

    "uniform" minimises the sum of these terms, over instances i with confidence q_i, weight w_i
    and n_i snippets, and over snippets t:

    =================================  ==========================================================
    term, times its weight             what it asks for, and which requirement of the paper's
    =================================  ==========================================================
    a  sum_i p_i |(M x)_i - q_i|       the mean score inside an instance equals its confidence
                                       (first requirement); `confidence_weight`
    b  sum_i p_i mean_{t in i}         the snippets of an instance are equivalent (second);
       |x_t - q_i|                     `uniformity_weight`
    c  sum_t |x_t - m_t|               where instances disagree, x is near the weighted mean m_t
                                       of the confidences that cover t, not their median (both);
                                       `anchor_weight`
    v  sum_i w_i sum_{t, t+1 in i}     neighbouring snippets of an instance are equivalent, in
       |x_{t+1} - x_t|                 few steps (second); `variation_weight`
    g  sum_t x_t                       nothing more than the instances ask for (neither; it
                                       decides among equals); `sparsity_weight`
    =================================  ==========================================================

    p_i = w_i n_i with prices="snippet": terms grow with an instance's length, so that labels do
    not depend on how long a snippet is; p_i = w_i with prices="instance". With constraint="hard"
    the first term becomes the constraint (M x)_i = q_i; where that is infeasible, the weighted l1
    residual is minimised first, the rest second, at that residual; status "relaxed".

    "released" is the authors' release: min sum_t x_t s.t. (sum inside) - (sum in the ring) = q_i,
    relaxed the same way. `rows`, `constraint`, `prices` and the term weights are for "uniform".

    Solved exactly, on cells and per connected component (gaufuse_ext/linpro/cells.py), so the
    cost does not grow with T. Never NaN.

    Args:
        segments: (G, N, 2) or (N, 2) instances in snippets, covering int(start) .. int(end) - 1.
            float32 or float64; CPU or CUDA (solved on the CPU).
        scores: (G, N) or (N,) confidences q, same dtype and device.
        num_snippets: T.
        counts: (G,) valid instances of each group; all N by default.
        backend: "native", our own simplex for components of up to 64 instances: every result is
            proved by its dual, to a gap of 1e-9. "highs", the general solver. "auto": native, and
            HiGHS for the groups that it leaves (too large, not proved).
        rows: of M: "mean", or "contrast_mean" to subtract the ring's mean.
        weights: w, as scores, not negative (an instance of weight zero is left out); or
            "constant" (ones, the default), "confidence" (q, at least 0), "exponential"
            (exp((q - the group's largest q) / weight_temperature), the fusion's weights).
        lengths: (G,) valid snippets of each group; T by default.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start.
        RuntimeError: backend="native" cannot solve a group.
    """
    segments, scores, counts, batched = scored_groups(segments, scores, counts)
    _checks.check_integer("num_snippets", num_snippets, 0)
    _checks.check_choice("formulation", formulation, FORMULATIONS)
    _checks.check_choice("rows", rows, ROWS)
    _checks.check_choice("constraint", constraint, CONSTRAINTS)
    _checks.check_choice("prices", prices, PRICES)
    _checks.check_choice("backend", backend, BACKENDS)
    terms = LinproTerms(
        confidence=_checks.check_not_negative("confidence_weight", confidence_weight),
        uniformity=_checks.check_not_negative("uniformity_weight", uniformity_weight),
        anchor=_checks.check_not_negative("anchor_weight", anchor_weight),
        variation=_checks.check_not_negative("variation_weight", variation_weight),
        sparsity=_checks.check_not_negative("sparsity_weight", sparsity_weight),
        per_snippet=prices == "snippet",
        hard=constraint == "hard",
        rows=rows,
        all_instances=False,
    )
    if formulation == "released":
        terms = RELEASED
    terms, unit = terms.in_own_unit()
    groups, device = len(segments), segments.device
    if lengths is not None:
        lengths = _checks.check_counts("lengths", lengths, groups, device).cpu()
    weights = _find_weights(weights, weight_temperature, scores, counts, batched)
    instances = _Instances(
        *(
            None if x is None else x.detach().to("cpu", torch.float64).contiguous()
            for x in (segments, scores, weights)
        ),
        None if counts is None else counts.cpu(),
        lengths,
    )
    found = _solve_natively(terms, instances, num_snippets)  # checks values, too
    status = [_NATIVE_STATUS.get(code) for code in found.status.tolist()]
    used = ["native"] * groups
    for g in range(groups):
        if backend != "highs" and status[g] is not None:
            continue
        if backend == "native":
            raise RuntimeError(
                f"the native backend cannot solve group {g} (too large, or not proved optimal); "
                'backend="auto" hands such groups to HiGHS'
            )
        status[g] = _solve_by_highs(g, terms, instances, found)
        used[g] = "highs"

    values = (x.to(segments) for x in (found.labels, found.objective * unit, found.residual))
    proofs = (found.gap.to(device), found.pivots.to(device))
    if not batched:
        values, proofs = ((x.squeeze(0) for x in group) for group in (values, proofs))
        status, used = status[0], used[0]
    return LinproLabels(*values, status, *proofs, used, instances, terms.rows)


def _find_weights(
    weights: torch.Tensor | str | None,
    temperature: float,
    scores: torch.Tensor,
    counts: torch.Tensor | None,
    batched: bool,
) -> torch.Tensor | None:
    """(G, N), or None for ones."""
    if weights is None:
        return None
    if isinstance(weights, torch.Tensor):
        shape = scores.shape if batched else scores.shape[1:]
        return _checks.check_like("weights", weights, shape, scores).reshape(scores.shape)
    _checks.check_choice("weights", weights, WEIGHTS)
    if weights == "constant":
        return None
    if weights == "confidence":
        return scores.clamp(min=0.0)
    _checks.check_positive("weight_temperature", temperature)
    if scores.shape[1] == 0:
        return None
    scores = scores.double()
    valid = (
        scores if counts is None else scores.where(valid_mask(counts, scores.shape[1]), -torch.inf)
    )
    relative = ((valid - valid.amax(1, keepdim=True)) / temperature).exp()
    return relative.nan_to_num(0.0)  # of groups without instances


class _Found(NamedTuple):
    """Outputs of the native solver, on the CPU, in its order."""

    labels: torch.Tensor  # (G, T) float64
    objective: torch.Tensor  # (G,) float64
    residual: torch.Tensor  # (G,) float64
    gap: torch.Tensor  # (G,) float64
    pivots: torch.Tensor  # (G,) int64
    status: torch.Tensor  # (G,) int64


# gaufuse::LinproStatus; what is not here was not solved.
_NATIVE_STATUS = {0: LinproStatus.EMPTY, 1: LinproStatus.OPTIMAL, 3: LinproStatus.RELAXED}


def _solve_natively(terms: LinproTerms, instances: _Instances, num_snippets: int) -> _Found:
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
        _native.LinproTerms(
            terms.confidence,
            terms.uniformity,
            terms.anchor,
            terms.variation,
            terms.sparsity,
            terms.per_snippet,
            terms.hard,
            MODES.index(terms.rows),
            terms.all_instances,
        ),
    )
    return found


def _solve_by_highs(
    group: int, terms: LinproTerms, instances: _Instances, found: _Found
) -> LinproStatus:
    """Solves a group and writes its part of `found`."""
    lengths = instances.lengths
    length = found.labels.shape[1] if lengths is None else int(lengths[group])
    solution = solve_group(*instances.group(group), length, terms, highs.solve)
    found.labels[group] = 0.0
    found.labels[group, :length] = torch.from_numpy(solution.labels)
    found.objective[group] = solution.objective
    found.residual[group] = solution.residual
    found.gap[group] = torch.nan
    found.pivots[group] = 0
    if solution.relaxed:
        return LinproStatus.RELAXED
    return LinproStatus.EMPTY if solution.empty else LinproStatus.OPTIMAL
