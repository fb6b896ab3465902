"""Voting: kept segments become means of the segments around them."""

from __future__ import annotations

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import group_sizes, scored_groups
from gaufuse_ext._library import _native, call_native, define_operation

WEIGHTS = ("score", "score_iou")


@works_in_forked_child
def segment_voting(
    kept: torch.Tensor,
    segments: torch.Tensor,
    scores: torch.Tensor,
    iou_threshold: float,
    kept_counts: _checks.Counts = None,
    counts: _checks.Counts = None,
    *,
    weights: str = "score",
) -> torch.Tensor:
    """Replaces each kept segment by the mean of its neighbours (bounding box voting).

    Its neighbours are all `segments` with IoU >= `iou_threshold` with it, itself among them if it
    is one of `segments`; they are weighted by their scores, of which only positive ones count, as
    in OpenTAD's `seg_voting`, or by score times IoU, as in ActionFormer's. Where nothing votes, the
    kept segment comes back as it was.

    Args:
        kept: (G, K, 2) or (K, 2), what NMS kept.
        segments: (G, N, 2) or (N, 2), what it was kept from; float32 or float64; CPU or CUDA.
        scores: (G, N) or (N,), their scores before any decay.
        iou_threshold: in [0, 1].
        kept_counts: (G,) valid kept segments of each group; all K by default.
        counts: (G,) valid segments of each group; all N by default.
        weights: "score" or "score_iou".

    Returns:
        (G, K, 2) or (K, 2), zeros past kept_counts. It carries no gradient.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start (on
            CUDA values are not read back, so not checked).
    """
    segments, scores, counts = scored_groups(segments, scores, counts)
    kept = _checks.check_segments("kept", kept)
    _checks.check_like("kept", kept, (*segments.shape[:-2], *kept.shape[-2:]), segments)
    iou_threshold = _checks.check_fraction("iou_threshold", iou_threshold)
    by_iou = _checks.check_choice("weights", weights, WEIGHTS) == "score_iou"
    kept, segments, scores = kept.detach(), segments.detach(), scores.detach()
    if kept_counts is not None:
        groups = group_sizes(scores.shape)[0]
        kept_counts = _checks.check_counts("kept_counts", kept_counts, groups, kept.device)
    return _operation(kept, segments, scores, kept_counts, counts, iou_threshold, by_iou)


def _implementation(
    kept: torch.Tensor,
    segments: torch.Tensor,
    scores: torch.Tensor,
    kept_counts: torch.Tensor | None,
    counts: torch.Tensor | None,
    iou_threshold: float,
    by_iou: bool,
) -> torch.Tensor:
    kept, segments, scores = (x.contiguous() for x in (kept, segments, scores))
    refined = torch.empty_like(kept)
    groups, num_kept = group_sizes(kept.shape[:-1])
    call_native(
        _native.segment_voting,
        segments,
        kept=kept,
        segments=segments,
        scores=scores,
        kept_counts=kept_counts,
        counts=counts,
        refined=refined,
        groups=groups,
        num_kept=num_kept,
        capacity=segments.shape[-2],
        iou_threshold=iou_threshold,
        weights_by_iou=by_iou,
    )
    return refined


def _fake(kept: torch.Tensor, *_: object) -> torch.Tensor:
    return kept.new_empty(kept.shape)


_operation = define_operation(
    "segment_voting(Tensor kept, Tensor segments, Tensor scores, Tensor? kept_counts, "
    "Tensor? counts, float iou_threshold, bool by_iou) -> Tensor",
    _implementation,
    _fake,
)
