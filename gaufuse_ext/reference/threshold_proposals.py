"""Slow, obvious NumPy reference of `gaufuse_ext.threshold_proposals` (method section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gaufuse_ext.array_types import Flags, Floats


def threshold_proposals(
    cas: Floats,
    thresholds: Sequence[float] | Floats,
    *,
    min_length: int = 2,
    margin: float = 0.0785,
    margin_power: float = 0.9,
) -> Floats:
    """Proposals of one activation sequence, in the order of thresholds, then time.

    Args:
        cas: (T,) activations of one class.
        thresholds: (H,) compared in float64.

    Returns:
        (P, 4) float64: start, end, outer-inner contrast q, inner mean u.
    """
    cas = np.asarray(cas, dtype=np.float64)
    rows = []
    for threshold in np.asarray(thresholds, dtype=np.float64):
        for start, end in _runs(cas > threshold):
            if end - start < min_length:
                continue
            inner = cas[start : end + 1].mean()  # one snippet past the run, clipped: as released
            outer = cas[_outer(start, end, len(cas), margin, margin_power)]
            contrast = inner - (outer.mean() if len(outer) else 0.0)
            rows.append((start, end + 1, contrast, inner))
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _runs(mask: Flags) -> Iterable[tuple[int, int]]:
    """Maximal runs [start, end) of True."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)


def _outer(start: int, end: int, total: int, margin: float, margin_power: float) -> list[int]:
    """Snippets of the ring around a run, on the left of start and right of end + 1."""
    reach = margin * (end - start) ** margin_power
    left = range(int(max(0, start - reach)), start)
    right = range(end + 1, min(total - 1, int(end + reach + 1)))
    return [*left, *right]
