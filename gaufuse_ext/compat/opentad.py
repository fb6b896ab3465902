"""OpenTAD's: opentad/models/utils/post_processing/nms/nms.py of sming256/OpenTAD."""

from __future__ import annotations

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext.compat.class_wise import LENGTH_EPSILON, suppress

METHODS = ("hard", "linear", "gaussian", "gaussian_above")  # by OpenTAD's numbers


@works_in_forked_child
def batched_nms(
    segs: torch.Tensor,
    scores: torch.Tensor,
    cls_idxs: torch.Tensor,
    iou_threshold: float = 0.0,
    min_score: float = 0.0,
    max_seg_num: int = 100,
    use_soft_nms: bool = True,
    multiclass: bool = True,
    sigma: float = 0.5,
    voting_thresh: float = 0.0,
    method: int = 2,
    t1: float = 0,
    t2: float = 0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """OpenTAD's `batched_nms`, on CPU and CUDA tensors, all classes in one call.

    Soft-NMS by `method`, or NMS of the segments with score > `min_score` (of all, where that is not
    positive); per class (`multiclass`), or over all classes at once, and then every segment becomes
    the mean of all segments with IoU >= `voting_thresh` with it, weighted by their scores.

    What differs: results have the device of the arguments, and float64 stays float64 (theirs:
    float32 on the CPU); all is computed in float64 (theirs: float32); ties go to the lower class,
    then to the better and the earlier segment; only positive scores vote, and voting never gives
    NaN; a negative `max_seg_num` is refused.

    Args:
        segs: (N, 2) start, end. float32 or float64; float16 and bfloat16 become float32.
        scores: (N,) of such a dtype.
        cls_idxs: (N,) integers.
        iou_threshold: of hard NMS, and of methods 0 and 1.
        min_score: see above; soft-NMS drops what has decayed below it.
        max_seg_num: most segments of a class (0: all), and of all.
        use_soft_nms: soft-NMS instead of hard NMS.
        multiclass: each class alone, without voting.
        sigma: of methods 2 and 3.
        voting_thresh: 0 for no voting.
        method: of soft-NMS. 0: scores become 0 where IoU >= iou_threshold; 1: times 1 - IoU there;
            2: times exp(-IoU^2 / sigma); 3 (BMN's): that where IoU >= t1 + t2 * (length of the
            better one).
        t1, t2: of method 3.

    Returns:
        segments (K, 2), scores (K,) and classes (K,) by score descending.

    Raises:
        TypeError, ValueError: an argument of the wrong kind.
    """
    if method not in range(len(METHODS)):
        raise ValueError(f"method must be 0, 1, 2 or 3, got {_checks.describe(method)}")
    name = METHODS[int(method)]
    _checks.check_fraction("t1", t1)
    return suppress(
        _at_least_float32(segs),
        _at_least_float32(scores),
        cls_idxs,
        method=name if use_soft_nms else "nms",
        iou_threshold=t1 if use_soft_nms and name == "gaussian_above" else iou_threshold,
        min_score=min_score,
        max_seg_num=max_seg_num,
        multiclass=multiclass,
        sigma=sigma,
        voting_thresh=voting_thresh,
        threshold_growth=t2,
        length_epsilon=LENGTH_EPSILON,
    )


def _at_least_float32(values: torch.Tensor) -> torch.Tensor:
    half = isinstance(values, torch.Tensor) and values.dtype in (torch.float16, torch.bfloat16)
    return values.float() if half else values
