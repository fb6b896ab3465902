"""How far an mAP would move with other test videos: resamples of them, and the mAP of each video.

A detection is matched within its video, so matching is done once; a resample then only changes how
often each video counts. Intervals of 95 % are basic ones (reflected percentiles): a resample has
fewer different videos, so its mAP tends to be higher, and percentiles as they are lie too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gaufuse_ext.annotations import Segments
from gaufuse_ext.evaluation import match_detections as evaluation
from gaufuse_ext.flat_segments import FlatSegments

LEVEL = 0.95
RESAMPLES = 1_000


@dataclass(frozen=True)
class ClassMatches:
    """The detections of one class in all videos, by descending score."""

    label: str
    video: np.ndarray  # (N,) index of the video
    hits: np.ndarray  # (N, H) bool: whether it found a free instance, per tIoU threshold
    instances: np.ndarray  # (V,) annotated instances of each video


@dataclass(frozen=True)
class Interval:
    """A number and its interval."""

    value: float
    low: float
    high: float


def match_detections(
    predictions: Mapping[str, Segments],
    truth: Mapping[str, Segments],
    thresholds: Sequence[float],
    protocol: str,
) -> list[ClassMatches]:
    """The matches of `gaufuse_ext.detection_map`, of each class that is annotated."""
    places = {video: v for v, video in enumerate(truth)}
    classes = sorted({label for entry in truth.values() for label in entry.labels})
    found = _flat(predictions, places, classes)
    instances = _flat(truth, places, classes)
    levels = np.asarray(thresholds, dtype=np.float64)
    matches = evaluation.match_detections(found, instances, levels, protocol)
    hits = matches.instances() >= 0
    parts = np.split(matches.order, matches.offsets[1:-1])
    return [
        ClassMatches(
            label,
            found.video_ids[order],
            hits[order],
            np.bincount(instances.video_ids[instances.class_ids == c], minlength=len(places)),
        )
        for c, (label, order) in enumerate(zip(classes, parts, strict=True))
    ]


def _flat(
    entries: Mapping[str, Segments], places: dict[str, int], classes: list[str]
) -> FlatSegments:
    """The segments of those videos and classes, under their places as ids."""
    index = {label: c for c, label in enumerate(classes)}
    rows = [
        (places[video], index[label], *segment, score)
        for video, entry in entries.items()
        if video in places
        for label, segment, score in zip(entry.labels, entry.segments, entry.scores, strict=True)
        if label in index
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    ids = table[:, :2].astype(np.int32)
    return FlatSegments(table[:, 2:4], ids[:, 0], ids[:, 1], table[:, 4])


def average_precisions(matches: ClassMatches, times: np.ndarray) -> np.ndarray:
    """(B, H) average precision where video v counts times[b, v] times; NaN without an instance.

    Precision is highest just where a hit is, so the envelope needs those places alone.
    """
    times = times.astype(np.float64)
    total = times @ matches.instances
    result = np.zeros((len(times), matches.hits.shape[1]))
    places = np.flatnonzero(matches.hits.any(axis=1))
    # Detections of each video up to each of those places.
    slot = np.searchsorted(places, np.arange(len(matches.video)))
    before = np.zeros((times.shape[1], len(places) + 1))
    np.add.at(before, (matches.video, slot), 1.0)
    ranks = times @ before.cumsum(axis=1)[:, :-1]  # (B, places)
    for h in range(result.shape[1]):
        hit = matches.hits[places, h]
        gained = times[:, matches.video[places[hit]]]
        precision = gained.cumsum(axis=1) / np.maximum(ranks[:, hit], 1.0)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        result[:, h] = (envelope * gained).sum(axis=1)
    return np.where(total[:, None] > 0, result / np.maximum(total, 1.0)[:, None], np.nan)


def resamples(videos: int, count: int = RESAMPLES) -> np.ndarray:
    """(B + 1, V) how often each video is drawn; the first row is the videos as they are. The same
    number of videos gives the same draws, so that two runs are compared on the same ones."""
    draws = np.random.default_rng(0).multinomial(videos, np.full(videos, 1 / videos), size=count)
    return np.concatenate([np.ones((1, videos), dtype=draws.dtype), draws])


def resampled_maps(matches: list[ClassMatches], times: np.ndarray) -> np.ndarray:
    """(C, B + 1, H) average precisions in percent; NaN where a resample lacks the class."""
    return 100.0 * np.stack([average_precisions(own, times) for own in matches])


def interval(values: np.ndarray) -> Interval:
    """values: (B + 1,) in percent, or differences of such, the first one that of the videos as they
    are; an interval does not leave what is possible."""
    low, high = np.nanquantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(values[0])
    least = 0.0 if np.nanmin(values) >= 0.0 else -100.0
    return Interval(value, max(least, 2 * value - float(high)), min(100.0, 2 * value - float(low)))


def video_maps(matches: list[ClassMatches], videos: int) -> np.ndarray:
    """(V,) mAP of each video by itself, mean over its classes and the thresholds, in percent; NaN
    for a video without annotation."""
    sums, classes = np.zeros(videos), np.zeros(videos)
    for own in matches:
        shown = np.flatnonzero(own.instances)
        kept = np.isin(own.video, shown)
        alone = ClassMatches(
            own.label,
            np.searchsorted(shown, own.video[kept]),
            own.hits[kept],
            own.instances[shown],
        )
        values = average_precisions(alone, np.eye(len(shown), dtype=int))
        sums[shown] += 100.0 * values.mean(axis=1)
        classes[shown] += 1
    return np.where(classes > 0, sums / np.maximum(classes, 1), np.nan)
