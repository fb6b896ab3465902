"""How far an mAP would move with other test videos: resamples of them, and the mAP of each video.

A detection is matched within its video, so matching is done once; a resample then only changes how
often each video counts. Intervals of 95 % are basic ones (reflected percentiles): a resample has
fewer different videos, so its mAP tends to be higher, and percentiles as they are lie too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import gaufuse_ext as gx
from gaufuse_ext.annotations import Segments
from gaufuse_ext.evaluation.bootstrap import resampled_precision

LEVEL = 0.95
RESAMPLES = 1_000


@dataclass(frozen=True)
class Interval:
    """A number and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class VideoMatches:
    """The detections of V videos, matched to their instances of C annotated classes."""

    labels: list[str]  # of the classes
    detections: gx.FlatSegments
    instances: gx.FlatSegments
    matches: gx.Matches
    videos: int

    def hits(self, c: int) -> np.ndarray:
        """(N, H) bool of the detections of a class, by descending score: whether they found a free
        instance, per tIoU threshold."""
        order = self.matches.order[self.matches.offsets[c] : self.matches.offsets[c + 1]]
        return self.matches.instances()[order] >= 0

    def class_sizes(self) -> np.ndarray:
        """(C,) annotated instances."""
        return np.bincount(self.instances.class_ids, minlength=len(self.labels))

    def maps(self, times: np.ndarray) -> np.ndarray:
        """(C, B, H) average precisions in percent where video v counts times[b, v] times; NaN
        without an instance."""
        precision = resampled_precision(self.matches, self.detections, self.instances, times.T)
        return 100.0 * precision.transpose(0, 2, 1)

    def video_maps(self) -> np.ndarray:
        """(V,) mAP of each video by itself, mean over its classes and the thresholds, in percent;
        NaN for a video without annotation."""
        alone = self.maps(np.eye(self.videos, dtype=np.int32)).mean(axis=2)  # (C, V)
        shown = ~np.isnan(alone)
        sums = np.where(shown, alone, 0.0).sum(axis=0)
        return np.where(shown.any(axis=0), sums / np.maximum(shown.sum(axis=0), 1), np.nan)


def match_videos(
    predictions: Mapping[str, Segments],
    truth: Mapping[str, Segments],
    thresholds: Sequence[float],
    protocol: str,
) -> VideoMatches:
    """The matches of `gaufuse_ext.detection_map`, of the videos of `truth` and its classes."""
    places = {video: v for v, video in enumerate(truth)}
    labels = sorted({label for entry in truth.values() for label in entry.labels})
    found, instances = (_flat(entries, places, labels) for entries in (predictions, truth))
    matches = gx.match_detections(found, instances, thresholds, protocol)
    return VideoMatches(labels, found, instances, matches, len(places))


def _flat(
    entries: Mapping[str, Segments], places: dict[str, int], labels: list[str]
) -> gx.FlatSegments:
    """The segments of those videos and classes, under their places as ids."""
    index = {label: c for c, label in enumerate(labels)}
    rows = [
        (places[video], index[label], *segment, score)
        for video, entry in entries.items()
        if video in places
        for label, segment, score in zip(entry.labels, entry.segments, entry.scores, strict=True)
        if label in index
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    ids = table[:, :2].astype(np.int32)
    return gx.FlatSegments(table[:, 2:4], ids[:, 0], ids[:, 1], table[:, 4])


def resamples(videos: int, count: int = RESAMPLES) -> np.ndarray:
    """(B + 1, V) how often each video is drawn; the first row is the videos as they are. The same
    number of videos gives the same draws, so that two runs are compared on the same ones."""
    draws = np.random.default_rng(0).multinomial(videos, np.full(videos, 1 / videos), size=count)
    return np.concatenate([np.ones((1, videos), dtype=draws.dtype), draws])


def interval(values: np.ndarray) -> Interval:
    """values: (B + 1,) in percent, or differences of such, the first one that of the videos as they
    are; an interval does not leave what is possible."""
    low, high = np.nanquantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(values[0])
    least = 0.0 if np.nanmin(values) >= 0.0 else -100.0
    return Interval(value, max(least, 2 * value - float(high)), min(100.0, 2 * value - float(low)))
