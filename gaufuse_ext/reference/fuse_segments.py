"""Slow, obvious NumPy reference of `gaufuse_ext.fuse_segments` (method section 3)."""

from __future__ import annotations

import numpy as np

from gaufuse_ext.array_types import Floats, Integers


def fuse_segments(
    segments: Floats,
    scores: Floats,
    weights: Floats | None = None,
    *,
    temperature: float = 0.2,
    threshold: float = 0.25,
    overlap: str = "candidate",
    length_offset: float = 1.0,
) -> tuple[Floats, Floats, Integers]:
    """Gaussian weighted fusion of the proposals of one group.

    Args:
        segments: (N, 2) start, end. scores: (N,). weights: (N,), `scores` if None.

    Returns:
        fused segments (K, 2), fused scores (K,), assignment (N,) cluster of each proposal;
        clusters in the order of their seeds' scores.
    """
    segments = np.asarray(segments, dtype=np.float64).reshape(-1, 2)
    scores = np.asarray(scores, dtype=np.float64)
    weights = scores if weights is None else np.asarray(weights, dtype=np.float64)
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    alive = np.ones(len(scores), dtype=bool)
    assignment = np.full(len(scores), -1, dtype=np.int64)
    fused_segments: list[Floats] = []
    fused_scores: list[float] = []
    for seed in order:
        if not alive[seed]:
            continue
        similar = _overlap(segments[seed], segments, overlap, length_offset) > threshold
        members = alive & similar
        members[seed] = True  # a seed belongs to itself whatever the threshold
        share = np.exp((weights[members] - weights[members].max()) / temperature)
        share /= share.sum()
        assignment[members] = len(fused_scores)
        fused_segments.append(share @ segments[members])
        fused_scores.append(share @ scores[members])
        alive &= ~members
    return (
        np.array(fused_segments).reshape(-1, 2),
        np.array(fused_scores).reshape(-1),
        assignment,
    )


def _overlap(seed: Floats, others: Floats, kind: str, length_offset: float) -> Floats:
    """Overlap of one segment with each of (N, 2) others; zero where a length is not positive."""
    shared = np.minimum(seed[1], others[:, 1]) - np.maximum(seed[0], others[:, 0]) + length_offset
    shared = np.maximum(shared, 0.0)
    seed_length = seed[1] - seed[0] + length_offset
    lengths = others[:, 1] - others[:, 0] + length_offset
    if kind == "candidate":
        base = lengths
    elif kind == "iou":
        base = seed_length + lengths - shared
    else:
        base = np.minimum(seed_length, lengths)
    fractions: Floats = np.divide(shared, base, out=np.zeros_like(shared), where=base > 0)
    return fractions
