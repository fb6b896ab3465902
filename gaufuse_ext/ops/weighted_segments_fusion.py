"""Weighted boxes fusion of segments."""

from __future__ import annotations

from typing import NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import group_sizes, scored_groups
from gaufuse_ext._library import _native, call_native, define_operation

CONFIDENCES = ("avg", "max")  # in the order of gaufuse::Confidence


class WeightedSegments(NamedTuple):
    """Fused segments by score descending; G is absent for unbatched input."""

    segments: torch.Tensor  # (G, N, 2), zeros past counts
    scores: torch.Tensor  # (G, N), zeros past counts
    counts: torch.Tensor  # (G,) int64, fused segments of each group
    assignment: torch.Tensor  # (G, N) int64, cluster of each input, -1 for padding and left-outs


@works_in_forked_child
def weighted_segments_fusion(
    segments: torch.Tensor,
    scores: torch.Tensor,
    counts: _checks.Counts = None,
    *,
    iou_threshold: float = 0.55,
    skip_below: float = 0.0,
    num_models: int = 1,
    confidence: str = "avg",
    allows_overflow: bool = False,
) -> WeightedSegments:
    """Fuses the detections of several models (1-D weighted boxes fusion, Solovyev et al. 2021).

    By score descending (ties: lower index), a segment joins the cluster whose fused segment has
    the highest IoU with it, if that is greater than `iou_threshold`, and opens a cluster
    otherwise. A fused segment is the mean of its members so far, weighted by their scores. A group
    holds the detections of all models for one class of one video.

    To give models weights w, multiply their scores by ``w * num_models / sum(w)`` ("avg") or
    ``w / max(w)`` ("max") beforehand: that is what the published function computes (its
    skip_box_thr, however, looks at scores without weights).

    Args:
        segments: (G, N, 2) or (N, 2) start, end in any unit; float32 or float64; CPU or CUDA.
            Those without length are left out, as published.
        scores: (G, N) or (N,), same dtype and device.
        counts: (G,) valid segments of each group; all N by default.
        iou_threshold: in [0, 1].
        skip_below: segments with a lower score are left out; not negative.
        num_models: how many models the detections come from.
        confidence: a fused score is the mean of its members' scores ("avg"), times
            min(members, num_models) / num_models, or their largest ("max").
        allows_overflow: "avg" times members / num_models, which may be more than one.

    Returns:
        WeightedSegments, padded; without a device-to-host read. It carries no gradient.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start (on
            CUDA values are not read back, so not checked).
    """
    segments, scores, counts = scored_groups(segments, scores, counts)
    iou_threshold = _checks.check_fraction("iou_threshold", iou_threshold)
    skip_below = _checks.check_not_negative("skip_below", skip_below)
    num_models = _checks.check_integer("num_models", num_models, 1)
    kind = CONFIDENCES.index(_checks.check_choice("confidence", confidence, CONFIDENCES))
    segments, scores = segments.detach(), scores.detach()
    options = (iou_threshold, skip_below, num_models, kind, bool(allows_overflow))
    return WeightedSegments(*_operation(segments, scores, counts, *options))


def _allocate(scores: torch.Tensor) -> WeightedSegments:
    *groups, capacity = scores.shape
    return WeightedSegments(
        scores.new_empty(*groups, capacity, 2),
        scores.new_empty(*groups, capacity),
        scores.new_empty(groups, dtype=torch.int64),
        scores.new_empty(*groups, capacity, dtype=torch.int64),
    )


def _implementation(
    segments: torch.Tensor,
    scores: torch.Tensor,
    counts: torch.Tensor | None,
    iou_threshold: float,
    skip_below: float,
    num_models: int,
    confidence: int,
    allows_overflow: bool,
) -> tuple[torch.Tensor, ...]:
    segments, scores = segments.contiguous(), scores.contiguous()
    groups, capacity = group_sizes(scores.shape)
    out = _allocate(scores)
    workspace = None
    if scores.is_cuda:
        size = _native.weighted_workspace(groups=groups, capacity=capacity)
        workspace = scores.new_empty((size,), dtype=torch.float64)
    call_native(
        _native.weighted_segments_fusion,
        segments,
        segments=segments,
        scores=scores,
        counts=counts,
        fused_segments=out.segments,
        fused_scores=out.scores,
        fused_counts=out.counts,
        assignment=out.assignment,
        workspace=workspace,
        groups=groups,
        capacity=capacity,
        iou_threshold=iou_threshold,
        skip_below=skip_below,
        num_models=num_models,
        confidence=confidence,
        allows_overflow=allows_overflow,
    )
    return tuple(out)


def _fake(segments: torch.Tensor, scores: torch.Tensor, *_: object) -> tuple[torch.Tensor, ...]:
    return tuple(_allocate(scores))


_operation = define_operation(
    "weighted_segments_fusion(Tensor segments, Tensor scores, Tensor? counts, "
    "float iou_threshold, float skip_below, int num_models, int confidence, "
    "bool allows_overflow) -> (Tensor, Tensor, Tensor, Tensor)",
    _implementation,
    _fake,
)
