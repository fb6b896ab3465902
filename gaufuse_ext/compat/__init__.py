"""Functions under the names of other code bases.

- `gaufuse_ext.compat.actionformer.batched_nms`: ActionFormer's signature, defaults and numbers;
- `gaufuse_ext.compat.opentad.batched_nms`: OpenTAD's;
- `gaufuse_ext.compat.batched_nms`: the call that they have in common, with exact IoU.
"""

from __future__ import annotations

import torch

from gaufuse_ext.compat.class_wise import suppress

__all__ = ["batched_nms"]


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
    """Takes the arguments that ActionFormer's and OpenTAD's `batched_nms` have in common.

    As that of :mod:`gaufuse_ext.compat.actionformer`, but IoU is exact (theirs adds 1e-6 to every
    length), and neighbours vote by their scores alone, as in OpenTAD. For the numbers of either
    code base take its own.

    Args:
        segs: (N, 2) start, end. float32, float64; float16 and bfloat16 are computed in float32.
        scores: (N,) of such a dtype.
        cls_idxs: (N,) integers.
        iou_threshold: of hard NMS alone.
        min_score: hard NMS leaves out scores up to it (where it is positive), soft-NMS drops scores
            that have decayed below it.
        max_seg_num: most segments of a class (0: all), and of all.
        use_soft_nms: Gaussian soft-NMS instead of hard NMS.
        multiclass: each class alone; else all at once, and then with voting.
        sigma: of the Gaussian.
        voting_thresh: IoU from which segments vote; 0 for no voting.

    Returns:
        segments (K, 2), scores (K,) and classes (K,) by score descending, on the device and in the
        dtypes of the arguments.

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
    )
