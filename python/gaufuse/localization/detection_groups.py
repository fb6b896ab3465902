"""Detections as ragged groups: one group is one class of one video, padded for the operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gaufuse_ext.annotations import Segments
from gaufuse_ext.array_types import Floats

CHUNK = 1 << 20  # padded segments at a time

_OneClass = tuple[str, str, Floats, Floats]  # video, label, segments (N, 2), scores (N,)


@dataclass(frozen=True)
class DetectionGroups:
    """Padded groups and where each came from."""

    segments: torch.Tensor  # (G, N, 2) float64
    scores: torch.Tensor  # (G, N) float64
    counts: torch.Tensor  # (G,) int64
    videos: list[str]  # (G,)
    labels: list[str]  # (G,)


def group_detections(detections: dict[str, Segments]) -> Iterator[DetectionGroups]:
    """Groups of similar size, a chunk at a time, so that padding stays small."""
    groups: list[_OneClass] = []
    for video, entry in detections.items():
        names = np.array(entry.labels, dtype=object)
        for label in dict.fromkeys(entry.labels):
            chosen = np.flatnonzero(names == label)
            groups.append((video, label, entry.segments[chosen], entry.scores[chosen]))
    groups.sort(key=lambda group: len(group[3]))
    chunk: list[_OneClass] = []
    for group in groups:
        if chunk and (len(chunk) + 1) * len(group[3]) > CHUNK:
            yield _pad(chunk)
            chunk = []
        chunk.append(group)
    if chunk:
        yield _pad(chunk)


def _pad(groups: list[_OneClass]) -> DetectionGroups:
    most = len(groups[-1][3])
    segments = np.zeros((len(groups), most, 2))
    scores = np.zeros((len(groups), most))
    for g, (_, _, own_segments, own_scores) in enumerate(groups):
        segments[g, : len(own_scores)] = own_segments
        scores[g, : len(own_scores)] = own_scores
    return DetectionGroups(
        torch.from_numpy(segments),
        torch.from_numpy(scores),
        torch.tensor([len(group[3]) for group in groups]),
        [group[0] for group in groups],
        [group[1] for group in groups],
    )
