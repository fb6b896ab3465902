"""Slow, obvious NumPy reference of `gaufuse_ext.segment_voting`."""

from __future__ import annotations

import numpy as np

from gaufuse_ext.array_types import Floats
from gaufuse_ext.reference.segment_iou import segment_iou


def segment_voting(
    kept: Floats,
    segments: Floats,
    scores: Floats,
    iou_threshold: float,
    weights: str = "score",
) -> Floats:
    """(K, 2) kept segments -> means of the (N, 2) segments around them, by (N,) scores, or by
    scores times IoU ("score_iou")."""
    refined = np.array(kept, dtype=np.float64)
    for k, iou in enumerate(segment_iou(kept, segments)):
        voters = (iou >= iou_threshold) & (scores > 0)
        if weights == "score_iou":
            voters &= iou > 0
        if voters.any():
            votes = scores[voters] / scores[voters].max()
            if weights == "score_iou":
                votes *= iou[voters]
            refined[k] = votes @ segments[voters] / votes.sum()
    return refined
