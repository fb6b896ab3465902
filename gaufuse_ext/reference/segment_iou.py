"""Slow, obvious NumPy reference of `gaufuse_ext.segment_iou`."""

from __future__ import annotations

import numpy as np

from gaufuse_ext.array_types import Floats


def segment_iou(a: Floats, b: Floats, length_epsilon: float = 0.0) -> Floats:
    """IoU (N, M) of (N, 2) and (M, 2) segments; zero where the union is empty.

    Args:
        length_epsilon: added to every length (1e-6 in ActionFormer's and OpenTAD's NMS).
    """
    a = np.asarray(a, dtype=np.float64).reshape(-1, 1, 2)
    b = np.asarray(b, dtype=np.float64).reshape(1, -1, 2)
    shared = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])
    shared = np.maximum(shared, 0.0)
    lengths_a = a[..., 1] - a[..., 0] + length_epsilon
    lengths_b = b[..., 1] - b[..., 0] + length_epsilon
    union = lengths_a + lengths_b - shared
    iou: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou
