"""LinPro pseudo labels: scored instances to snippet labels by an l1 linear program."""

from __future__ import annotations

import functools
from typing import Any

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import group_sizes, scored_groups, valid_mask
from gaufuse_ext._library import _native, call_native, define_operation
from gaufuse_ext.linpro.highs_batch import solve_by_highs
from gaufuse_ext.linpro.instances import Instances
from gaufuse_ext.linpro.labels import UNSOLVED, LinproLabels
from gaufuse_ext.linpro.terms import RELEASED, LinproTerms
from gaufuse_ext.ops.interval_membership import MODES

FORMULATIONS = ("uniform", "released")
BACKENDS = ("auto", "native", "highs")
ROWS = ("mean", "contrast_mean")
PRICES = ("snippet", "instance")
CONSTRAINTS = ("elastic", "hard")
WEIGHTS = ("constant", "confidence", "exponential")
MARGIN, MARGIN_POWER = 0.0785, 0.9  # of the ring, as for interval_membership


@works_in_forked_child
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

    ====================================  =======================================================
    term, times its weight                what it asks for, and which requirement of the paper's
    ====================================  =======================================================
    a  ``sum_i p_i |(M x)_i - q_i|``      the mean score inside an instance equals its confidence
                                          (first requirement); `confidence_weight`
    b  ``sum_i p_i mean_{t in i}``        the snippets of an instance are equivalent (second);
       ``|x_t - q_i|``                    `uniformity_weight`
    c  ``sum_t |x_t - m_t|``              where instances disagree, x is near the weighted mean
                                          m_t of the confidences that cover t, not their median
                                          (both); `anchor_weight`
    v  ``sum_i w_i sum_{t, t+1 in i}``    neighbouring snippets of an instance are equivalent, in
       ``|x_{t+1} - x_t|``                few steps (second); `variation_weight`
    g  ``sum_t x_t``                      nothing more than the instances ask for (neither; it
                                          decides among equals); `sparsity_weight`
    ====================================  =======================================================

    p_i = w_i n_i with prices="snippet": terms grow with an instance's length, so that labels do
    not depend on how long a snippet is; p_i = w_i with prices="instance". With constraint="hard"
    the first term becomes the constraint (M x)_i = q_i; where that is infeasible, the weighted l1
    residual is minimised first, the rest second, at that residual; status "relaxed".

    "released" is the authors' release: min sum_t x_t s.t. (sum inside) - (sum in the ring) = q_i,
    relaxed the same way. `rows`, `constraint`, `prices` and the term weights are for "uniform".

    Works under ``torch.compile(fullgraph=True)``, with every backend.

    Solved exactly, on cells and per connected component (gaufuse_ext/linpro/cells.py), so the
    cost does not grow with T. Never NaN.

    Args:
        segments: (G, N, 2) or (N, 2) instances in snippets, covering int(start) .. int(end) - 1.
            float32 or float64; CPU or CUDA.
        scores: (G, N) or (N,) confidences q, same dtype and device.
        num_snippets: T.
        counts: (G,) valid instances of each group; all N by default.
        backend: "native", our own simplex, for components of up to 64 instances, and of any size
            with mean rows and no variation: every result is exact, by a closed form or proved by
            its dual to a gap of 1e-9. "highs", the general solver. "auto": native, and HiGHS for
            the groups that it leaves (too large, not proved). On CUDA the native solver takes
            components of up to about 30 instances (64 where few of them overlap), "native" never
            waits for the device (`status` says "unsolved" where it left a group), and "auto" waits
            once, to see which groups HiGHS must solve.
        rows: of M: "mean", or "contrast_mean" to subtract the ring's mean.
        weights: w, as scores, in [0, 1e100] (an instance of weight zero is left out; where
            constraints are relaxed, with "released" too, none counts less than 1e-6 of the
            heaviest); or "constant" (ones, the default), "confidence" (q, at least 0),
            "exponential" (exp((q - the group's largest q) / weight_temperature), the fusion's
            weights).
        confidence_weight, uniformity_weight, anchor_weight, variation_weight, sparsity_weight: of
            the terms, in [0, 1e100].
        lengths: (G,) valid snippets of each group; T by default.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start (on
            CUDA values are read back only for what "auto" hands to HiGHS: the native solver
            leaves a group with NaN or infinity "unsolved").
        RuntimeError: backend="native" cannot solve a group (on the CPU).
    """
    segments, scores, counts = scored_groups(segments, scores, counts)
    num_snippets = _checks.check_integer("num_snippets", num_snippets, 0)
    _checks.check_choice("backend", backend, BACKENDS)
    terms = _find_terms(
        formulation,
        rows,
        constraint,
        prices,
        confidence_weight,
        uniformity_weight,
        anchor_weight,
        variation_weight,
        sparsity_weight,
    )
    if lengths is not None:
        groups = group_sizes(scores.shape)[0]
        lengths = _checks.check_counts("lengths", lengths, groups, scores.device)
    segments, scores = segments.detach(), scores.detach()
    weights = _find_weights(weights, weight_temperature, scores, counts)
    instances = Instances(segments, scores, weights, counts, lengths)
    labels, figures, numbers = _solve(instances, num_snippets, terms, backend)
    return LinproLabels(labels, figures, numbers, instances, terms.rows)


def _solve(
    instances: Instances, num_snippets: int, terms: LinproTerms, backend: str
) -> tuple[torch.Tensor, ...]:
    """Labels (G, T), figures (3, G) and numbers (2, G), as LinproLabels has them."""
    return _operation(
        *instances,
        num_snippets,
        terms.confidence,
        terms.uniformity,
        terms.anchor,
        terms.variation,
        terms.sparsity,
        terms.per_snippet,
        terms.hard,
        MODES.index(terms.rows),
        terms.all_instances,
        BACKENDS.index(backend),
    )


def _check_terms(
    formulation: str,
    rows: str,
    constraint: str,
    prices: str,
    confidence: float,
    uniformity: float,
    anchor: float,
    variation: float,
    sparsity: float,
) -> LinproTerms:
    """What these settings of linpro_labels ask for.

    Raises:
        TypeError, ValueError: one of them is of the wrong kind.
    """
    _checks.check_choice("formulation", formulation, FORMULATIONS)
    _checks.check_choice("rows", rows, ROWS)
    _checks.check_choice("constraint", constraint, CONSTRAINTS)
    _checks.check_choice("prices", prices, PRICES)
    terms = LinproTerms(
        confidence=_checks.check_price("confidence_weight", confidence),
        uniformity=_checks.check_price("uniformity_weight", uniformity),
        anchor=_checks.check_price("anchor_weight", anchor),
        variation=_checks.check_price("variation_weight", variation),
        sparsity=_checks.check_price("sparsity_weight", sparsity),
        per_snippet=prices == "snippet",
        hard=constraint == "hard",
        rows=rows,
        all_instances=False,
    )
    return RELEASED if formulation == "released" else terms


_known_terms = functools.lru_cache(maxsize=32)(_check_terms)


def _find_terms(*settings: Any) -> LinproTerms:
    """_check_terms, which is asked once: settings are the same from call to call in a run."""
    if torch.compiler.is_compiling():
        return _check_terms(*settings)
    try:
        return _known_terms(*settings)
    except TypeError:  # what cannot be a key is not a number either
        return _check_terms(*settings)


def _find_weights(
    weights: torch.Tensor | str | None,
    temperature: float,
    scores: torch.Tensor,
    counts: torch.Tensor | None,
) -> torch.Tensor | None:
    """As scores, or None for ones."""
    if weights is None:
        return None
    if isinstance(weights, torch.Tensor):
        return _checks.check_like("weights", weights, scores.shape, scores).detach()
    _checks.check_choice("weights", weights, WEIGHTS)
    if weights == "constant":
        return None
    if weights == "confidence":
        return scores.clamp(min=0.0)
    _checks.check_positive("weight_temperature", temperature)
    capacity = scores.shape[-1]
    if capacity == 0:
        return None
    valid = scores.double()
    if counts is not None:
        valid = valid.where(valid_mask(counts, capacity).reshape(scores.shape), -torch.inf)
    relative = ((valid - valid.amax(-1, keepdim=True)) / temperature).exp()
    return relative.nan_to_num(0.0)  # of groups without instances


def _implementation(
    segments: torch.Tensor,
    scores: torch.Tensor,
    weights: torch.Tensor | None,
    counts: torch.Tensor | None,
    lengths: torch.Tensor | None,
    num_snippets: int,
    confidence: float,
    uniformity: float,
    anchor: float,
    variation: float,
    sparsity: float,
    per_snippet: bool,
    hard: bool,
    rows: int,
    all_instances: bool,
    backend: int,
) -> tuple[torch.Tensor, ...]:
    """Labels, figures (objective, residual, gap) and numbers (pivots, codes); values are checked on
    the CPU.

    HiGHS is in here, too: which groups are left to it only their values say, and under
    torch.compile nothing outside of an operation may look at values."""
    given = Instances(segments, scores, weights, counts, lengths)
    if weights is not None:
        if weights.dtype != scores.dtype:
            if scores.is_cuda:
                weights = weights.to(scores)
            else:  # as accurate as they are
                segments, scores, weights = segments.double(), scores.double(), weights.double()
        weights = weights.contiguous()
    segments, scores = segments.contiguous(), scores.contiguous()
    groups, capacity = group_sizes(scores.shape)
    given_groups = scores.shape[:-1]
    labels = scores.new_empty(*given_groups, num_snippets)
    # Few tensors: on one short video each costs as much as a tenth of the solving.
    figures = scores.new_empty(3, *given_groups, dtype=torch.float64)
    numbers = scores.new_empty(2, *given_groups, dtype=torch.int64)
    workspace, workers, worker_bytes = None, 0, 0
    if scores.is_cuda:
        workers, worker_bytes = _native.plan_linpro_workspace(
            groups=groups, capacity=capacity, rows=rows, with_variation=variation > 0.0
        )
        workspace = scores.new_empty((workers * worker_bytes // 4,), dtype=torch.int32)
    call_native(
        _native.linpro_labels,
        scores,
        segments=segments,
        scores=scores,
        weights=weights,
        counts=counts,
        lengths=lengths,
        labels=labels,
        figures=figures,
        numbers=numbers,
        workspace=workspace,
        workers=workers,
        worker_bytes=worker_bytes,
        groups=groups,
        capacity=capacity,
        num_snippets=num_snippets,
        margin=MARGIN,
        margin_power=MARGIN_POWER,
        confidence=confidence,
        uniformity=uniformity,
        anchor=anchor,
        variation=variation,
        sparsity=sparsity,
        per_snippet=per_snippet,
        hard=hard,
        rows=rows,
        all_instances=all_instances,
    )
    left = _left_to_highs(numbers, backend)
    if left:
        terms = LinproTerms(
            confidence,
            uniformity,
            anchor,
            variation,
            sparsity,
            per_snippet,
            hard,
            MODES[rows],
            all_instances,
        )
        found = (labels, figures, numbers)
        if scores.dim() == 1:
            found = (labels.unsqueeze(0), figures.unsqueeze(1), numbers.unsqueeze(1))
        solve_by_highs(left, terms, given.as_batch(), *found)
    if labels.dtype != given.scores.dtype:
        labels = labels.to(given.scores.dtype)
    return labels, figures, numbers


def _left_to_highs(numbers: torch.Tensor, backend: int) -> list[int]:
    """The groups that HiGHS must solve, of numbers (2, G) or (2,).

    Raises:
        RuntimeError: there are some, and the native backend was asked for.
    """
    if BACKENDS[backend] == "highs":
        return list(range(numbers[1].numel()))
    if BACKENDS[backend] == "native" and numbers.is_cuda:  # it must not wait for the device
        return []
    codes = numbers.tolist()[1]
    codes = codes if numbers.dim() == 2 else [codes]
    if UNSOLVED not in codes:
        return []
    left = [group for group, code in enumerate(codes) if code == UNSOLVED]
    if BACKENDS[backend] == "native":
        raise RuntimeError(
            f"the native backend cannot solve group {left[0]} (too large, or not proved "
            'optimal); backend="auto" hands such groups to HiGHS'
        )
    return left


def _fake(
    segments: torch.Tensor,
    scores: torch.Tensor,
    weights: torch.Tensor | None,
    counts: torch.Tensor | None,
    lengths: torch.Tensor | None,
    num_snippets: int,
    *_: object,
) -> tuple[torch.Tensor, ...]:
    groups = scores.shape[:-1]
    return (
        scores.new_empty(*groups, num_snippets),
        scores.new_empty(3, *groups, dtype=torch.float64),
        scores.new_empty(2, *groups, dtype=torch.int64),
    )


_operation = define_operation(
    "linpro_labels(Tensor segments, Tensor scores, Tensor? weights, Tensor? counts, "
    "Tensor? lengths, SymInt num_snippets, float confidence, float uniformity, float anchor, "
    "float variation, float sparsity, bool per_snippet, bool hard, int rows, bool all_instances, "
    "int backend) -> (Tensor, Tensor, Tensor)",
    _implementation,
    _fake,
)
