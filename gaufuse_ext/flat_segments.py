"""Segments of many videos in flat arrays: no Python object for each of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch

from gaufuse_ext.annotations import Segments

Array = np.ndarray | torch.Tensor | Sequence[Any]


@dataclass(frozen=True, eq=False)
class FlatSegments:
    """Predicted or annotated segments of many videos, an entry for each segment.

    NumPy arrays, tensors of any device (they are copied to the CPU), or sequences; kept as NumPy
    arrays on the CPU.

    Args:
        segments: (N, 2) start and end in seconds.
        video_ids: (N,) which video each is of: a place in `videos`.
        class_ids: (N,) likewise in `classes`.
        scores: (N,); None for ground truth.
        videos, classes: names, each once. Without them ids of predictions are those of the ground
            truth, and names of the ground truth are its ids, as text.

    Raises:
        TypeError, ValueError: shapes that do not fit; ids that are none; names that come twice;
            NaN, infinity, or a segment that ends before it starts.
    """

    segments: np.ndarray  # (N, 2) float64
    video_ids: np.ndarray  # (N,) int32
    class_ids: np.ndarray  # (N,) int32
    scores: np.ndarray | None = None  # (N,) float64
    videos: Sequence[str] | None = None
    classes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        segments = _numbers("segments", self.segments)
        if segments.shape == (0,):
            segments = segments.reshape(0, 2)
        if segments.ndim != 2 or segments.shape[1] != 2:
            raise ValueError(f"segments must have shape (N, 2), got {segments.shape}")
        if not (np.isfinite(segments).all() and (segments[:, 1] >= segments[:, 0]).all()):
            right = np.isfinite(segments).all(axis=1) & (segments[:, 1] >= segments[:, 0])
            i = int(np.argmin(right))
            raise ValueError(
                f"segments[{i}] must be finite and not end before it starts, got "
                f"{segments[i].tolist()}"
            )
        count = len(segments)
        for name, names in (("videos", self.videos), ("classes", self.classes)):
            if names is not None:
                _check_names(name, names)
                object.__setattr__(self, name, list(names))
        object.__setattr__(self, "segments", segments)
        for name, names in (("video_ids", self.videos), ("class_ids", self.classes)):
            object.__setattr__(self, name, _ids(name, getattr(self, name), count, names))
        if self.scores is not None:
            scores = _numbers("scores", self.scores)
            if scores.shape != (count,):
                raise ValueError(f"scores must have shape ({count},), got {scores.shape}")
            if not np.isfinite(scores).all():
                i = int(np.argmin(np.isfinite(scores)))
                raise ValueError(f"scores[{i}] must be finite, got {scores[i]}")
            object.__setattr__(self, "scores", scores)

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def names(self) -> tuple[Sequence[str], Sequence[str]]:
        """Of the videos and of the classes.

        Raises:
            ValueError: it has none: see `named`.
        """
        if self.videos is None or self.classes is None:
            raise ValueError("the segments are not named: give videos and classes")
        return self.videos, self.classes

    @property
    def given_scores(self) -> np.ndarray:
        """(N,) float64.

        Raises:
            ValueError: it is ground truth, and has none.
        """
        if self.scores is None:
            raise ValueError("detections have no scores")
        return self.scores

    @classmethod
    def from_videos(cls, videos: Mapping[str, Segments]) -> FlatSegments:
        """Of checked segments by video, in their order; classes in the order of their first."""
        entries = list(videos.values())
        counts = [len(entry.labels) for entry in entries]
        ids: dict[str, int] = {}
        labels = chain.from_iterable(entry.labels for entry in entries)
        class_ids = [ids.setdefault(label, len(ids)) for label in labels]
        empty = np.empty((0, 2))
        return cls(
            np.concatenate([entry.segments for entry in entries] or [empty]),
            np.repeat(np.arange(len(entries), dtype=np.int32), counts),
            np.array(class_ids, dtype=np.int32),
            np.concatenate([entry.scores for entry in entries] or [empty[:, 0]]),
            list(videos),
            list(ids),
        )

    def to_videos(self) -> dict[str, Segments]:
        """Segments by video, the order of each video's kept; also videos without any."""
        if self.videos is None or self.classes is None:
            return self.named().to_videos()
        videos = self.videos
        labels = np.array([*self.classes, None], dtype=object)[self.class_ids]
        scores = np.ones(len(self)) if self.scores is None else self.scores
        order = np.argsort(self.video_ids, kind="stable")
        ends = np.cumsum(np.bincount(self.video_ids, minlength=len(videos)))
        parts = [
            np.split(values[order], ends[:-1]) if len(videos) else []
            for values in (self.segments, labels, scores)
        ]
        return {
            video: Segments(segments, own.tolist(), own_scores)
            for video, segments, own, own_scores in zip(videos, *parts, strict=True)
        }

    def named(
        self, videos: Sequence[str] | None = None, classes: Sequence[str] | None = None
    ) -> FlatSegments:
        """With names: its own, or those of the lists that its ids are places in, or the ids as
        text. Of unnamed videos and classes there are those that have a segment."""
        video_ids, own_videos = _named(self.video_ids, self.videos, videos)
        class_ids, own_classes = _named(self.class_ids, self.classes, classes)
        if own_videos is self.videos and own_classes is self.classes:
            return self
        return FlatSegments(
            self.segments, video_ids, class_ids, self.scores, own_videos, own_classes
        )

    def counts_by_class(self) -> dict[str, int]:
        """How many segments there are of each class that has any."""
        named = self.named()
        _, classes = named.names
        counts = np.bincount(named.class_ids, minlength=len(classes)).tolist()
        return {name: count for name, count in zip(classes, counts, strict=True) if count}

    def with_videos(self, video_ids: Array) -> FlatSegments:
        """The same segments under other ids of videos, which have no names; what was checked is
        not checked again."""
        other = copy.copy(self)
        object.__setattr__(other, "videos", None)
        object.__setattr__(other, "video_ids", _ids("video_ids", video_ids, len(self), None))
        return other

    def with_classes(self, names: Sequence[str]) -> FlatSegments:
        """The classes renamed, place by place; those of one name become one."""
        ids: dict[str, int] = {}
        table = np.array([ids.setdefault(name, len(ids)) for name in names], dtype=np.int32)
        return replace(self, class_ids=table[self.class_ids], classes=list(ids))


def _named(
    ids: np.ndarray, names: Sequence[str] | None, known: Sequence[str] | None
) -> tuple[np.ndarray, Sequence[str]]:
    if names is not None:
        return ids, names
    if len(ids) and ids.max() < 10 * len(ids):  # faster where the ids lie close
        present = np.flatnonzero(np.bincount(ids))
        places = np.zeros(present[-1] + 1, dtype=np.int32)
        places[present] = np.arange(len(present))
        places = places[ids]
    else:
        present, places = np.unique(ids, return_inverse=True)
    known = known or ()
    return places, [known[i] if i < len(known) else str(i) for i in present.tolist()]


def _numbers(name: str, values: Array) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiu" and array.size:
            raise TypeError
        return np.ascontiguousarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must hold numbers, got {type(values).__name__}") from None


def _ids(name: str, values: Array, count: int, names: Sequence[str] | None) -> np.ndarray:
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
    array = np.asarray(array)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must hold integers, got {array.dtype}")
    if array.shape != (count,):
        raise ValueError(f"{name} must have shape ({count},), got {array.shape}")
    most = len(names) if names is not None else np.iinfo(np.int32).max
    if count and not (array.min() >= 0 and array.max() < most):
        i = int(np.argmax((array < 0) | (array >= most)))
        raise ValueError(f"{name}[{i}] must lie in [0, {most}), got {array[i]}")
    return np.ascontiguousarray(array, dtype=np.int32)


def _check_names(name: str, names: Sequence[str]) -> None:
    if isinstance(names, str) or not all(isinstance(x, str) for x in names):
        raise TypeError(f"{name} must be names, got {names!r:.80}")
    if len(set(names)) != len(names):
        twice = next(x for i, x in enumerate(names) if x in names[:i])
        raise ValueError(f"{name} has {twice!r} twice")
