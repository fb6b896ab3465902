"""Slow, obvious NumPy reference of `gaufuse_ext.segment_voting`."""

from __future__ import annotations

import numpy as np

from gaufuse_ext.reference.segment_iou import segment_iou


def segment_voting(
    kept: np.ndarray, segments: np.ndarray, scores: np.ndarray, iou_threshold: float
) -> np.ndarray:
    """(K, 2) kept segments -> means of the (N, 2) segments around them, by (N,) scores."""
    refined = np.array(kept, dtype=np.float64)
    for k, iou in enumerate(segment_iou(kept, segments)):
        voters = (iou >= iou_threshold) & (scores > 0)
        if voters.any():
            votes = scores[voters] / scores[voters].max()
            refined[k] = votes @ segments[voters] / votes.sum()
    return refined
