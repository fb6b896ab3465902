"""Slow, obvious NumPy reference of `gaufuse_ext.weighted_segments_fusion`."""

from __future__ import annotations

import numpy as np

from gaufuse_ext.array_types import Floats, Integers
from gaufuse_ext.reference.segment_iou import segment_iou


def weighted_segments_fusion(
    segments: Floats,
    scores: Floats,
    *,
    iou_threshold: float = 0.55,
    skip_below: float = 0.0,
    num_models: int = 1,
    confidence: str = "avg",
    allows_overflow: bool = False,
) -> tuple[Floats, Floats, Integers]:
    """Fused segments (K, 2) and scores (K,), and the cluster (N,) of each input, -1 for none."""
    clusters: list[list[int]] = []
    fused: list[Floats] = []
    for j in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if scores[j] < skip_below or segments[j, 0] == segments[j, 1]:
            continue
        iou = segment_iou(segments[j : j + 1], np.array(fused))[0]
        if len(iou) and iou.max() > iou_threshold:
            k = int(iou.argmax())
            clusters[k].append(j)
            fused[k] = _mean(segments, scores, clusters[k])
        else:
            clusters.append([j])
            fused.append(segments[j])
    fused_scores = []
    for members in clusters:
        if confidence == "max":
            fused_scores.append(max(scores[j] for j in members))
        else:
            counted = len(members) if allows_overflow else min(len(members), num_models)
            mean = sum(scores[j] for j in members) / len(members)
            fused_scores.append(mean * counted / num_models)
    assignment = np.full(len(scores), -1, dtype=np.int64)
    order = sorted(range(len(clusters)), key=lambda k: (-fused_scores[k], k))
    for rank, k in enumerate(order):
        assignment[clusters[k]] = rank
    return (
        np.array([fused[k] for k in order]).reshape(-1, 2),
        np.array([fused_scores[k] for k in order]),
        assignment,
    )


def _mean(segments: Floats, scores: Floats, members: list[int]) -> Floats:
    """Weighted by the scores; the first member while all scores are zero."""
    total = sum(scores[j] for j in members)
    mean: Floats = segments[members[0]]
    if total:
        mean = sum(scores[j] * segments[j] for j in members) / total
    return mean
