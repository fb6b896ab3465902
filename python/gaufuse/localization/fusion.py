"""Many detections to few: one or several models' detections fused, or suppressed, group by group.

A group is a class of a video, or (class-agnostic) a video. Groups of similar size go through the
kernels of `gaufuse_ext` together. Boundaries are in seconds: real intervals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

import gaufuse_ext as gx
from gaufuse.localization.detection_groups import CHUNK
from gaufuse.localization.fusion_settings import FusionSettings
from gaufuse.localization.pooled_detections import NamedSegments, PooledDetections, select
from gaufuse_ext.array_types import Array


@dataclass(frozen=True)
class _Groups:
    """Padded groups; `rows` leads back to the detections."""

    rows: Array  # (G, M) any valid row where padded
    segments: torch.Tensor  # (G, M, 2)
    scores: torch.Tensor  # (G, M)
    counts: torch.Tensor  # (G,)


@dataclass(frozen=True)
class _Found:
    """What is left of some groups, flat."""

    rows: Array  # (K,) the detection that it stands for: kept, or the best of a cluster
    segments: Array  # (K, 2)
    scores: Array  # (K,)


def fuse_detections(detections: PooledDetections, settings: FusionSettings) -> NamedSegments:
    """By video, the best first; ties in the order of the input.

    A fused detection has the class of the best of its members. What
    `settings.model_weights` w does to scores: times w / max(w); for the mean of weighted fusion
    times w * models / sum(w), as published.

    Raises:
        ValueError: not as many weights as models.
    """
    flat = replace(detections.flat, scores=weighted_scores(detections, settings))
    fused = _fuse_groups(flat, settings, detections.num_models)
    if settings.then != "nothing":
        fused = _fuse_groups(fused, settings.afterwards(), models=1)
    if settings.top is None:
        return fused
    first = np.searchsorted(fused.video_ids, fused.video_ids)
    return select(fused, np.arange(len(fused)) - first < settings.top)


def _fuse_groups(flat: NamedSegments, settings: FusionSettings, models: int) -> NamedSegments:
    """By video, then by score."""
    parts = [_fuse(groups, settings, models) for groups in _groups(flat, settings)]
    rows = np.concatenate([*(part.rows for part in parts), np.empty(0, np.int64)])
    fused = replace(
        select(flat, rows),
        segments=np.concatenate([*(part.segments for part in parts), np.empty((0, 2))]),
        scores=np.concatenate([*(part.scores for part in parts), np.empty(0)]),
    )
    return select(fused, np.lexsort((rows, -fused.scores, fused.video_ids)))


def weighted_scores(detections: PooledDetections, settings: FusionSettings) -> Array:
    """(N,) scores times the weights of their models.

    Raises:
        ValueError: not as many weights as models.
    """
    scores = detections.flat.scores
    if settings.model_weights is None:
        return scores
    weights = np.asarray(settings.model_weights)
    if len(weights) != detections.num_models:
        raise ValueError(
            f"model weights: {len(weights)} for {detections.num_models} files: one a file is needed"
        )
    by_mean = settings.method == "weighted" and settings.confidence == "avg"
    factors = weights / (weights.mean() if by_mean else weights.max())
    weighted: Array = scores * factors[detections.models]
    return weighted


def _groups(flat: NamedSegments, settings: FusionSettings) -> Iterator[_Groups]:
    """Groups of similar size, a chunk at a time, so that padding stays small."""
    keys = flat.video_ids.astype(np.int64)
    if not settings.class_agnostic:
        keys = keys * max(1, len(flat.classes)) + flat.class_ids
    order = np.argsort(keys, kind="stable")
    _, first, counts = np.unique(keys[order], return_index=True, return_counts=True)
    by_size = np.argsort(counts, kind="stable")
    first, counts = first[by_size], counts[by_size]
    begin = 0
    while begin < len(counts):
        end = begin + 1
        while end < len(counts) and (end + 1 - begin) * counts[end] <= CHUNK:
            end += 1
        most = counts[end - 1]
        inside = np.arange(most) < counts[begin:end, None]
        places = np.where(inside, first[begin:end, None] + np.arange(most), 0)
        rows = order[places]
        yield _Groups(
            rows,
            torch.from_numpy(flat.segments[rows] * inside[..., None]),
            torch.from_numpy(flat.scores[rows] * inside),
            torch.from_numpy(counts[begin:end]),
        )
        begin = end


def _fuse(groups: _Groups, settings: FusionSettings, models: int) -> _Found:
    if settings.method == "none":
        inside = gx.valid_mask(groups.counts, groups.scores.shape[1]).numpy()
        segments, scores = groups.segments.numpy(), groups.scores.numpy()
        return _Found(groups.rows[inside], segments[inside], scores[inside])
    if settings.method in ("nms", "soft-nms"):
        return _suppress(groups, settings)
    fused: gx.FusedSegments | gx.WeightedSegments
    if settings.method == "weighted":
        fused = gx.weighted_segments_fusion(
            groups.segments,
            groups.scores,
            groups.counts,
            iou_threshold=settings.overlap_threshold,
            num_models=models,
            confidence=settings.confidence,
        )
    else:
        fused = gx.fuse_segments(
            groups.segments,
            groups.scores,
            counts=groups.counts,
            temperature=settings.temperature,
            threshold=settings.overlap_threshold,
            overlap=settings.overlap,
            length_offset=0.0,
        )
    left = gx.valid_mask(fused.counts, groups.scores.shape[1]).numpy()
    best = _best_members(groups.scores.numpy(), fused.assignment.numpy())
    rows = np.take_along_axis(groups.rows, best, axis=1)
    return _Found(rows[left], fused.segments.numpy()[left], fused.scores.numpy()[left])


def _suppress(groups: _Groups, settings: FusionSettings) -> _Found:
    if settings.method == "nms":
        keep = gx.nms(groups.segments, groups.scores, settings.overlap_threshold, groups.counts)
        scores = groups.scores.gather(1, keep.clamp(min=0))
    else:
        found = gx.soft_nms(
            groups.segments,
            groups.scores,
            groups.counts,
            method=settings.decay,
            sigma=settings.sigma,
            iou_threshold=settings.overlap_threshold,
            min_score=settings.min_score,
            threshold_growth=settings.threshold_growth,
        )
        keep, scores = found.keep, found.scores
    kept = keep >= 0
    places = keep.clamp(min=0)
    segments = groups.segments.gather(1, places.unsqueeze(-1).expand(-1, -1, 2))
    if settings.voting != "none":
        segments = gx.segment_voting(
            segments,
            groups.segments,
            groups.scores,
            settings.voting_threshold,
            kept.sum(1),
            groups.counts,
            weights=settings.voting,
        )
    rows = np.take_along_axis(groups.rows, places.numpy(), axis=1)
    left = kept.numpy()
    return _Found(rows[left], segments.numpy()[left], scores.numpy()[left])


def _best_members(scores: Array, assignment: Array) -> Array:
    """(G, M) place of the best member of each cluster of each group; ties: the lower place."""
    order = np.argsort(-scores, axis=1, kind="stable")
    clusters = np.take_along_axis(assignment, order, axis=1)
    group, rank = np.nonzero(clusters >= 0)
    best = np.zeros_like(order)
    # The last write stays, so the best come last.
    group, rank = group[::-1], rank[::-1]
    best[group, clusters[group, rank]] = order[group, rank]
    return best
