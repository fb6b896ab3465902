"""Slow, obvious NumPy reference of `gaufuse_ext.soft_nms`."""

from __future__ import annotations

import numpy as np

from gaufuse_ext.reference.segment_iou import segment_iou


def soft_nms(
    segments: np.ndarray,
    scores: np.ndarray,
    *,
    method: str = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.1,
    min_score: float = 0.001,
    max_output: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (K,) selected of (N, 2) segments, in that order, and their decayed scores (K,)."""
    iou = segment_iou(segments, segments)
    remaining = np.array(scores, dtype=np.float64)
    alive = np.ones(len(remaining), dtype=bool)
    keep, kept_scores = [], []
    while alive.any() and len(keep) != max_output:
        best = int(np.argmax(np.where(alive, remaining, -np.inf)))  # the first of equals
        keep.append(best)
        kept_scores.append(remaining[best])
        alive[best] = False
        if method == "gaussian":
            remaining *= np.exp(-(iou[best] ** 2) / sigma)
        else:
            remaining *= np.where(iou[best] >= iou_threshold, 1.0 - iou[best], 1.0)
        alive &= remaining >= min_score
    return np.array(keep, dtype=np.int64), np.array(kept_scores, dtype=np.float64)
