"""Functions under the names and with the behaviour of other code bases."""

from __future__ import annotations

import torch

from gaufuse_ext import _checks
from gaufuse_ext.ops.nms import nms
from gaufuse_ext.ops.segment_voting import segment_voting
from gaufuse_ext.ops.soft_nms import soft_nms


def batched_nms(
    segs: torch.Tensor,
    scores: torch.Tensor,
    cls_idxs: torch.Tensor,
    iou_threshold: float,
    min_score: float,
    max_seg_num: int,
    use_soft_nms: bool = True,
    multiclass: bool = True,
    sigma: float = 0.5,
    voting_thresh: float = 0.75,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stands in for the `batched_nms` of ActionFormer and OpenTAD, on CPU and CUDA tensors.

    Gaussian soft-NMS, or NMS of the segments with score > `min_score` (of all, where that is not
    positive); per class (`multiclass`) or over all classes at once, and then with voting among all
    segments (where `voting_thresh` > 0). At most `max_seg_num` segments by score descending. All
    classes go through one batched call.

    What differs: results have the device and the dtypes of the arguments; IoU is exact (theirs
    adds 1e-6 to lengths) and computed in float64; ties go to the lower class, then to the better
    and the earlier segment; voting never gives NaN; ActionFormer's hard NMS, which takes classes
    for scores, behaves as OpenTAD's corrected one; a negative max_seg_num is refused.

    Args:
        segs: (N, 2) start, end. float32, float64; float16 and bfloat16 are computed in float32.
        scores: (N,) of such a dtype.
        cls_idxs: (N,) integers.

    Returns:
        segments (K, 2), scores (K,) and classes (K,).
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
    if not use_soft_nms and min_score > 0:
        candidates = candidates[all_scores > min_score]
    places, counts = _groups_of(
        cls_idxs[candidates] if multiclass else torch.zeros_like(candidates)
    )
    places = candidates[places]
    if use_soft_nms:
        most = max_seg_num or None
        options = {"sigma": sigma, "min_score": min_score, "max_output": most}
        found = soft_nms(all_segs[places], all_scores[places], counts, **options)
        keep, kept_scores = found.keep, found.scores
    else:
        keep = nms(all_segs[places], all_scores[places], iou_threshold, counts)
        kept_scores = all_scores[places].gather(1, keep.clamp(min=0))
    selected = keep >= 0
    kept = places.gather(1, keep.clamp(min=0))[selected]
    kept_scores = kept_scores[selected]

    best = kept_scores.argsort(descending=True, stable=True)[:max_seg_num]
    kept, kept_scores = kept[best], kept_scores[best]
    kept_segs = all_segs[kept]
    if not multiclass and voting_thresh > 0:
        kept_segs = segment_voting(kept_segs, all_segs, all_scores, voting_thresh)
    return kept_segs.to(segs.dtype), kept_scores.to(scores.dtype), cls_idxs[kept]


def _check_arguments(segs: object, scores: object, cls_idxs: object) -> None:
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
