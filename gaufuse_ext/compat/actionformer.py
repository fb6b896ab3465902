"""ActionFormer's post-processing: libs/utils/nms.py of happyharrycn/actionformer_release."""

from __future__ import annotations

import torch

from gaufuse_ext.compat.class_wise import LENGTH_EPSILON, suppress


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
    """ActionFormer's `batched_nms`, on CPU and CUDA tensors, all classes in one call.

    Gaussian soft-NMS, or NMS of the segments with score > `min_score` (of all, where that is not
    positive); per class (`multiclass`), or over all classes at once, and then every segment becomes
    the mean of all segments with IoU >= `voting_thresh` with it, weighted by score times IoU.

    What differs: results have the device and the dtypes of the arguments; all is computed in
    float64 (theirs: float32); ties go to the lower class, then to the better and the earlier
    segment; only positive scores vote, and voting never gives NaN; their hard NMS takes classes for
    scores, here it does not; a negative `max_seg_num` is refused.

    Args:
        segs: (N, 2) start, end. float32, float64; float16 and bfloat16 are computed in float32.
        scores: (N,) of such a dtype.
        cls_idxs: (N,) integers.
        iou_threshold: of hard NMS alone.
        min_score: see above; soft-NMS drops what has decayed below it.
        max_seg_num: most segments of a class (0: all), and of all.
        use_soft_nms: Gaussian soft-NMS instead of hard NMS.
        multiclass: each class alone, without voting.
        sigma: of the Gaussian.
        voting_thresh: 0 for no voting.

    Returns:
        segments (K, 2), scores (K,) and classes (K,) by score descending.

    Raises:
        TypeError, ValueError: an argument of the wrong kind.
    """
    return suppress(
        segs,
        scores,
        cls_idxs,
        method="gaussian" if use_soft_nms else "nms",
        iou_threshold=iou_threshold,
        min_score=min_score,
        max_seg_num=max_seg_num,
        multiclass=multiclass,
        sigma=sigma,
        voting_thresh=voting_thresh,
        voting_weights="score_iou",
        length_epsilon=LENGTH_EPSILON,
    )
