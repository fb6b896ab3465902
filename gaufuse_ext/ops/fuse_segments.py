"""Gaussian weighted instance fusion."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import greedy_workspace, group_sizes, scored_groups
from gaufuse_ext._library import _native, call_native, define_operation, register_gradient

OVERLAPS = ("candidate", "iou", "min")  # in the order of gaufuse::Overlap


class FusedSegments(NamedTuple):
    """Fused instances in the order of their seeds' scores; G is absent for unbatched input."""

    segments: torch.Tensor  # (G, N, 2), zeros past counts
    scores: torch.Tensor  # (G, N), zeros past counts
    counts: torch.Tensor  # (G,) int64, instances of each group
    assignment: torch.Tensor  # (G, N) int64, cluster of each input, -1 past the input's counts
    shares: torch.Tensor  # (G, N) weight of each input in its cluster; sums to 1 over a cluster


@works_in_forked_child
def fuse_segments(
    segments: torch.Tensor,
    scores: torch.Tensor,
    weights: torch.Tensor | None = None,
    counts: _checks.Counts = None,
    *,
    temperature: float = 0.2,
    threshold: float = 0.25,
    overlap: str = "candidate",
    length_offset: float = 1.0,
) -> FusedSegments:
    """Fuses overlapping scored segments into instances (paper section 3; method section 3).

    Each candidate is a draw from a Gaussian over (start, end), its confidence the probability of
    the draw; the estimate of the mean is the weighted mean. Greedily, by score descending (ties:
    lower index first), the best remaining segment is a seed; its members are itself and every
    remaining segment with overlap > `threshold`; the instance is their mean, weighted by
    ``exp(weight / temperature)``. The largest weight of a cluster is subtracted first, so finite
    input gives finite output at any temperature.

    Args:
        segments: (G, N, 2) or (N, 2) start, end in any unit; float32 or float64; CPU or CUDA.
        scores: (G, N) or (N,), same dtype and device.
        weights: as scores; the release passes the inner mean u, the paper's equation the score q.
            Default: scores.
        counts: (G,) valid segments of each group; all N by default.
        temperature: tau. 0.2 at test time, down to 0.0016 when making labels.
        threshold: overlap above which a segment belongs to the seed.
        overlap: "candidate" (intersection over the candidate's own length: the release), "iou",
            or "min" (over the shorter length).
        length_offset: added to every length and intersection; 1 counts snippets inclusively, as
            the release does, 0 treats segments as real intervals.

    Differentiable in segments, scores and weights, for the assignment as it is, by torch.autograd
    and by torch.func's transforms, as often as asked for; not in forward mode.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start (on
            CUDA values are not read back, so not checked).
    """
    segments, scores, counts = scored_groups(segments, scores, counts)
    if weights is None:
        weights = scores
    else:
        weights = _checks.check_like("weights", weights, scores.shape, segments)
    temperature = _checks.check_positive("temperature", temperature)
    threshold = _checks.check_finite_number("threshold", threshold)
    offset = _checks.check_not_negative("length_offset", length_offset)
    kind = OVERLAPS.index(_checks.check_choice("overlap", overlap, OVERLAPS))
    return FusedSegments(
        *_operation(segments, scores, weights, counts, temperature, threshold, offset, kind)
    )


def _allocate(scores: torch.Tensor) -> FusedSegments:
    *groups, capacity = scores.shape
    return FusedSegments(
        scores.new_empty(*groups, capacity, 2),
        scores.new_empty(*groups, capacity),
        scores.new_empty(groups, dtype=torch.int64),
        scores.new_empty(*groups, capacity, dtype=torch.int64),
        scores.new_empty(*groups, capacity),
    )


def _implementation(
    segments: torch.Tensor,
    scores: torch.Tensor,
    weights: torch.Tensor,
    counts: torch.Tensor | None,
    temperature: float,
    threshold: float,
    length_offset: float,
    overlap: int,
) -> tuple[torch.Tensor, ...]:
    segments, scores, weights = segments.contiguous(), scores.contiguous(), weights.contiguous()
    groups, capacity = group_sizes(scores.shape)
    out = _allocate(scores)
    call_native(
        _native.fuse_segments,
        segments,
        segments=segments,
        scores=scores,
        weights=weights,
        counts=counts,
        fused_segments=out.segments,
        fused_scores=out.scores,
        fused_counts=out.counts,
        assignment=out.assignment,
        shares=out.shares,
        workspace=greedy_workspace(scores),
        groups=groups,
        capacity=capacity,
        temperature=temperature,
        threshold=threshold,
        length_offset=length_offset,
        overlap=overlap,
    )
    return tuple(out)


def _fake(segments: torch.Tensor, scores: torch.Tensor, *_: object) -> tuple[torch.Tensor, ...]:
    return tuple(_allocate(scores))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    segments, scores, weights, _, ctx.temperature = inputs[:5]
    fused_segments, fused_scores, _, assignment, shares = output
    ctx.save_for_backward(
        segments, scores, weights, fused_segments, fused_scores, assignment, shares
    )
    ctx.mark_non_differentiable(*output[2:])
    # Zeros for what has no gradient would be written outside of `_backward`, by torch's threads.
    ctx.set_materialize_grads(False)


@works_in_forked_child
def _backward(
    ctx: Any, grad_segments: torch.Tensor | None, grad_scores: torch.Tensor | None, *_: object
) -> tuple[torch.Tensor | None, ...]:
    """out_k = sum_j p_j v_j with p a softmax of weights / temperature over each cluster."""
    segments, scores, weights, fused_segments, fused_scores, assignment, shares = ctx.saved_tensors
    cluster, valid = assignment.clamp(min=0), assignment >= 0
    # Padding of the inputs may hold anything, NaN too.
    segments = torch.where(valid.unsqueeze(-1), segments, 0.0)
    scores = torch.where(valid, scores, 0.0)
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # for a further derivative
        shares = _shares_of(weights, shares, ctx.temperature, cluster, valid)
        fused_segments = _sums(shares.unsqueeze(-1) * segments, cluster)
        fused_scores = torch.zeros_like(scores).scatter_add(-1, cluster, shares * scores)
    if grad_segments is None:
        grad_segments = torch.zeros_like(segments)
    if grad_scores is None:
        grad_scores = torch.zeros_like(scores)
    grad_segments = _pick(grad_segments, cluster)  # of each member's own cluster
    grad_scores = grad_scores.gather(-1, cluster)
    deviation = (grad_segments * (segments - _pick(fused_segments, cluster))).sum(-1)
    deviation = deviation + grad_scores * (scores - fused_scores.gather(-1, cluster))
    return (
        shares.unsqueeze(-1) * grad_segments,
        shares * grad_scores,
        shares * deviation / ctx.temperature,
        *[None] * 5,
    )


def _shares_of(
    weights: torch.Tensor,
    shares: torch.Tensor,
    temperature: float,
    cluster: torch.Tensor,
    valid: torch.Tensor,
) -> torch.Tensor:
    """The shares as the function of the weights that they are: of the values of `shares`, with
    derivatives of every order."""
    change = torch.where(valid, weights - weights.detach(), 0.0) / temperature
    masses = shares.detach() * change.exp()
    totals = torch.zeros_like(masses).scatter_add(-1, cluster, masses)
    return masses / torch.where(valid, totals.gather(-1, cluster), 1.0)


def _pick(values: torch.Tensor, cluster: torch.Tensor) -> torch.Tensor:
    return values.gather(-2, cluster.unsqueeze(-1).expand(*cluster.shape, 2))


def _sums(values: torch.Tensor, cluster: torch.Tensor) -> torch.Tensor:
    places = cluster.unsqueeze(-1).expand(*cluster.shape, 2)
    return torch.zeros_like(values).scatter_add(-2, places, values)


_operation = define_operation(
    "fuse_segments(Tensor segments, Tensor scores, Tensor weights, Tensor? counts, "
    "float temperature, float threshold, float length_offset, int overlap) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _implementation,
    _fake,
)
register_gradient("fuse_segments", _backward, _setup_context)
