"""Slow, obvious NumPy reference of `gaufuse_ext.interval_membership` (method section 4)."""

from __future__ import annotations

import numpy as np

from gaufuse_ext.array_types import Floats


def interval_membership(
    segments: Floats,
    num_snippets: int,
    *,
    mode: str = "contrast",
    margin: float = 0.0785,
    margin_power: float = 0.9,
) -> Floats:
    """Membership matrix (N, T) float64 of (N, 2) instances over T snippets."""
    segments = np.asarray(segments, dtype=np.float64).reshape(-1, 2)
    matrix = np.zeros((len(segments), num_snippets))
    for row, (start, end) in zip(matrix, segments, strict=True):
        start, end = int(start), int(end)
        reach = margin * (end - start) ** margin_power
        left = slice(max(0, int(start - reach)), max(0, start))
        right = slice(max(0, end), max(0, min(num_snippets - 1, int(end + reach + 1))))
        inside = slice(max(0, start), max(0, end))
        row[inside] = 1.0
        if mode != "mean":
            row[left] = -1.0
            row[right] = -1.0
        if mode != "contrast":
            row[row > 0] /= max(1, int(np.count_nonzero(row > 0)))
            row[row < 0] /= max(1, int(np.count_nonzero(row < 0)))
    return matrix
