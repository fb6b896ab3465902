"""Slow, obvious NumPy reference of `gaufuse_ext.soft_nms`."""

from __future__ import annotations

import numpy as np

from gaufuse_ext.array_types import Floats, Integers
from gaufuse_ext.reference.segment_iou import segment_iou


def soft_nms(
    segments: Floats,
    scores: Floats,
    *,
    method: str = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.1,
    min_score: float = 0.001,
    max_output: int | None = None,
    threshold_growth: float = 0.0,
    length_epsilon: float = 0.0,
) -> tuple[Integers, Floats]:
    """Indices (K,) selected of (N, 2) segments, in that order, and their decayed scores (K,)."""
    iou = segment_iou(segments, segments, length_epsilon)
    remaining = np.array(scores, dtype=np.float64)
    alive = np.ones(len(remaining), dtype=bool)
    keep: list[int] = []
    kept_scores: list[float] = []
    while alive.any() and len(keep) != max_output:
        best = int(np.argmax(np.where(alive, remaining, -np.inf)))  # the first of equals
        keep.append(best)
        kept_scores.append(remaining[best])
        alive[best] = False
        threshold = iou_threshold
        if method == "gaussian_above":
            length = segments[best, 1] - segments[best, 0] + length_epsilon
            threshold = iou_threshold + threshold_growth * length
        gaussian = np.exp(-(iou[best] ** 2) / sigma)
        weights = {
            "gaussian": gaussian,
            "linear": np.where(iou[best] >= threshold, 1.0 - iou[best], 1.0),
            "hard": np.where(iou[best] >= threshold, 0.0, 1.0),
            "gaussian_above": np.where(iou[best] >= threshold, gaussian, 1.0),
        }
        remaining *= weights[method]
        alive &= remaining >= min_score
    return np.array(keep, dtype=np.int64), np.array(kept_scores, dtype=np.float64)
