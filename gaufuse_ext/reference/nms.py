"""Slow, obvious NumPy reference of `gaufuse_ext.nms`."""

from __future__ import annotations

import numpy as np

from gaufuse_ext.array_types import Floats, Integers
from gaufuse_ext.reference.segment_iou import segment_iou


def nms(
    segments: Floats, scores: Floats, iou_threshold: float, length_epsilon: float = 0.0
) -> Integers:
    """Indices (K,) kept of (N, 2) segments with (N,) scores, by descending score."""
    iou = segment_iou(segments, segments, length_epsilon)
    remaining = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    keep = []
    while remaining:
        best = remaining.pop(0)
        keep.append(best)
        remaining = [i for i in remaining if not iou[best, i] >= iou_threshold]
    return np.array(keep, dtype=np.int64)
