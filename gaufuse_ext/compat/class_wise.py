"""What the `batched_nms` of other code bases share: NMS of each class, voting, the best."""

from __future__ import annotations

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext.ops.nms import nms
from gaufuse_ext.ops.segment_voting import segment_voting
from gaufuse_ext.ops.soft_nms import soft_nms

LENGTH_EPSILON = 1e-6  # what ActionFormer and OpenTAD add to every length


@works_in_forked_child
def suppress(
    segs: torch.Tensor,
    scores: torch.Tensor,
    cls_idxs: torch.Tensor,
    *,
    method: str,
    iou_threshold: float,
    min_score: float,
    max_seg_num: int,
    multiclass: bool,
    sigma: float,
    voting_thresh: float,
    voting_weights: str = "score",
    threshold_growth: float = 0.0,
    length_epsilon: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """NMS ("nms") or soft-NMS (a method of `soft_nms`) of each class, or of all together and then
    with voting. All classes go through one batched call.

    Args:
        segs: (N, 2) start, end.
        scores: (N,)
        cls_idxs: (N,) integers.

    Returns:
        segments (K, 2), scores (K,) and classes (K,) by score descending.

    Raises:
        TypeError, ValueError: an argument of the wrong kind.
    """
    _check_arguments(segs, scores, cls_idxs)
    _checks.check_finite_number("min_score", min_score)
    _checks.check_integer("max_seg_num", max_seg_num, 0)
    _checks.check_finite_number("voting_thresh", voting_thresh)
    if len(segs) == 0:
        return segs, scores, cls_idxs
    dtype = torch.promote_types(torch.promote_types(segs.dtype, scores.dtype), torch.float32)
    all_segs, all_scores = segs.detach().to(dtype), scores.detach().to(dtype)

    candidates = torch.arange(len(segs), device=segs.device)
    if method == "nms" and min_score > 0:
        candidates = candidates[all_scores > min_score]
    places, counts = _groups_of(
        cls_idxs[candidates] if multiclass else torch.zeros_like(candidates)
    )
    places = candidates[places]
    if method == "nms":
        keep = nms(
            all_segs[places],
            all_scores[places],
            iou_threshold,
            counts,
            length_epsilon=length_epsilon,
        )
        kept_scores = all_scores[places].gather(1, keep.clamp(min=0))
    else:
        found = soft_nms(
            all_segs[places],
            all_scores[places],
            counts,
            method=method,
            sigma=sigma,
            # The gaussian has no threshold: callers pass what they please.
            iou_threshold=0.0 if method == "gaussian" else iou_threshold,
            min_score=min_score,
            max_output=max_seg_num or None,
            threshold_growth=threshold_growth,
            length_epsilon=length_epsilon,
        )
        keep, kept_scores = found.keep, found.scores
    selected = keep >= 0
    kept = places.gather(1, keep.clamp(min=0))[selected]
    kept_scores = kept_scores[selected]

    best = kept_scores.argsort(descending=True, stable=True)[:max_seg_num]
    kept, kept_scores = kept[best], kept_scores[best]
    kept_segs = all_segs[kept]
    if not multiclass and voting_thresh > 0:
        kept_segs = segment_voting(
            kept_segs, all_segs, all_scores, voting_thresh, weights=voting_weights
        )
    return kept_segs.to(segs.dtype), kept_scores.to(scores.dtype), cls_idxs[kept]


def _check_arguments(segs: torch.Tensor, scores: torch.Tensor, cls_idxs: torch.Tensor) -> None:
    for name, value in (("segs", segs), ("scores", scores), ("cls_idxs", cls_idxs)):
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {_checks.describe(value)}")
        if value.is_floating_point() == (name == "cls_idxs") or value.is_complex():
            kind = "integers" if name == "cls_idxs" else "floating-point numbers"
            raise TypeError(f"{name} must hold {kind}, got {_checks.describe(value)}")
        shape = (len(segs), 2) if name == "segs" and segs.dim() else segs.shape[:1]
        if value.shape != shape:
            raise ValueError(
                f"{name} must have shape {tuple(shape)}, got {_checks.describe(value)}"
            )
        if value.device != segs.device:
            raise TypeError(f"{name} must be on {segs.device}, got {_checks.describe(value)}")


def _groups_of(classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) classes -> places (C, M) of each class's members, padded with any, and counts (C,)."""
    _, inverse, counts = torch.unique(classes, return_inverse=True, return_counts=True)
    order = inverse.argsort(stable=True)
    first = counts.cumsum(0) - counts
    capacity = int(counts.max()) if len(counts) else 0
    places = first.unsqueeze(-1) + torch.arange(capacity, device=classes.device)
    return order[places.clamp(max=max(len(order) - 1, 0))], counts
