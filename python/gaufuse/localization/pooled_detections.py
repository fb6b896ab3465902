"""Detections of several models side by side, with names in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.array_types import Array
from gaufuse_ext.class_names import check_videos_in_common, unknown_of_counts
from gaufuse_ext.flat_segments import FlatSegments


@dataclass(frozen=True, eq=False)
class NamedSegments(FlatSegments):
    """Segments with scores (1 for ground truth) and names of videos and classes."""

    scores: Array  # (N,) float64
    videos: Sequence[str]
    classes: Sequence[str]


def named_segments(flat: FlatSegments) -> NamedSegments:
    """The same, known to have scores and names.

    Raises:
        ValueError: it has no scores.
    """
    if flat.scores is None:
        raise ValueError("detections have no scores")
    own = flat.named()
    return NamedSegments(
        own.segments, own.video_ids, own.class_ids, flat.scores, own.videos or [], own.classes or []
    )


@dataclass(frozen=True)
class PooledDetections:
    """N detections of one or more models, model by model."""

    flat: NamedSegments
    models: Array  # (N,) int64 which source each is of
    num_models: int

    def select(self, rows: Array) -> PooledDetections:
        """Those of an index or mask (N,), in its order."""
        return replace(self, flat=select(self.flat, rows), models=self.models[rows])


def select(flat: NamedSegments, rows: Array) -> NamedSegments:
    """Those of an index or mask (N,), in its order; videos and classes stay."""
    return replace(
        flat,
        segments=flat.segments[rows],
        video_ids=flat.video_ids[rows],
        class_ids=flat.class_ids[rows],
        scores=flat.scores[rows],
    )


def pool(sources: Sequence[FlatSegments]) -> PooledDetections:
    """Videos and classes as they first occur.

    Raises:
        ValueError: a source without scores.
    """
    videos: dict[str, int] = {}
    classes: dict[str, int] = {}
    video_ids: list[Array] = []
    class_ids: list[Array] = []
    named = [named_segments(source) for source in sources]
    for source in named:
        for names, ids, places, out in (
            (source.videos, source.video_ids, videos, video_ids),
            (source.classes, source.class_ids, classes, class_ids),
        ):
            table = [places.setdefault(name, len(places)) for name in names]
            out.append(np.array(table, dtype=np.int32)[ids])
    flat = NamedSegments(
        np.concatenate([source.segments for source in named]),
        np.concatenate(video_ids),
        np.concatenate(class_ids),
        np.concatenate([source.scores for source in named]),
        list(videos),
        list(classes),
    )
    models = np.repeat(np.arange(len(sources)), [len(source) for source in sources])
    return PooledDetections(flat, models, len(sources))


def join(parts: Sequence[NamedSegments]) -> NamedSegments:
    """One after another, of parts whose ids mean the same."""
    return replace(
        parts[0],
        segments=np.concatenate([part.segments for part in parts]),
        video_ids=np.concatenate([part.video_ids for part in parts]),
        class_ids=np.concatenate([part.class_ids for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
    )


@dataclass(frozen=True)
class CommonIds:
    """Detections and instances whose ids mean the same videos and classes."""

    detections: NamedSegments
    instances: NamedSegments
    rows: Array  # (N,) the place of each detection among those that there were
    videos_without_truth: int  # with predictions, which were left out
    unknown_classes: dict[str, int]  # predictions of each that were left out


def with_common_ids(flat: FlatSegments, truth: Mapping[str, VideoAnnotation]) -> CommonIds:
    """Detections by the ids of the ground truth: its videos in their order, its classes sorted.

    Raises:
        ValueError: no annotation; no video, or no class, in common.
    """
    found = named_segments(flat)
    instances = named_segments(FlatSegments.from_videos(truth))
    counts = instances.counts_by_class()
    if not counts:
        raise ValueError("the ground truth has no annotation")
    check_videos_in_common(found.videos, instances.videos)
    unknown = unknown_of_counts(found.counts_by_class(), set(counts))
    classes = sorted(counts)
    videos = _places(found.videos, instances.videos)
    labels = _places(found.classes, classes)
    video_ids, class_ids = videos[found.video_ids], labels[found.class_ids]
    rows = np.flatnonzero((video_ids >= 0) & (class_ids >= 0))
    detections = NamedSegments(
        found.segments[rows],
        video_ids[rows],
        class_ids[rows],
        found.scores[rows],
        instances.videos,
        classes,
    )
    own = _places(instances.classes, classes)
    instances = replace(instances, class_ids=own[instances.class_ids], classes=classes)
    return CommonIds(detections, instances, rows, int((videos < 0).sum()), unknown)


def _places(names: Sequence[str], others: Sequence[str]) -> Array:
    """(K,) int32 where each name is among the others; -1: nowhere."""
    place_of = {name: place for place, name in enumerate(others)}
    return np.array([place_of.get(name, -1) for name in names], dtype=np.int32)
