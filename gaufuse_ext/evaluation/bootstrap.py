"""mAP of resampled videos, and intervals of it, by the bootstrap.

Intervals are basic ones (percentiles reflected at the estimate): a resample has fewer different
videos, so its mAP tends to be higher, and percentiles as they are lie too high.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaufuse_ext import _checks
from gaufuse_ext._fork import kernel_threads
from gaufuse_ext._library import _native
from gaufuse_ext.evaluation.average_precision import average_precision
from gaufuse_ext.evaluation.match_detections import Matches
from gaufuse_ext.flat_segments import FlatSegments

MOST_SAMPLES = 1_000_000
SAMPLES_AT_ONCE = 256  # what (C, H, samples) of float64 are kept of


class ResampledMap(NamedTuple):
    """mAP of resampled videos, in percent. A class counts in a sample that has an instance of
    it."""

    maps: np.ndarray  # (B, H) mAP of each sample; NaN: no instance of any class
    per_class: np.ndarray  # (B, C) each class's mean over thresholds; NaN: no instance of it

    @property
    def average(self) -> np.ndarray:
        """(B,) mean over thresholds."""
        average: np.ndarray = self.maps.mean(axis=1)
        return average


@dataclass(frozen=True)
class BootstrapMap:
    """mAP of resampled videos, in percent. A class counts in a sample that has an instance of
    it."""

    samples: np.ndarray  # (B, H) mAP of each sample
    per_class: np.ndarray  # (B, C) each class's mean over thresholds; NaN: no instance drawn
    seed: int
    estimate: np.ndarray  # (H,) mAP of the videos as they are
    class_estimate: np.ndarray  # (C,) each class's mean over thresholds, of the videos as they are

    @property
    def average(self) -> np.ndarray:
        """(B,) mean over thresholds."""
        average: np.ndarray = self.samples.mean(axis=1)
        return average

    def interval(self, confidence: float = 0.95) -> np.ndarray:
        """(2, H + 1): the ends of the interval of the mAP at each threshold and, last, of the
        average mAP."""
        values = np.concatenate([self.samples, self.average[:, None]], axis=1)
        estimate = np.append(self.estimate, self.estimate.mean())
        return basic_interval(values, estimate, confidence).clip(0.0, 100.0)

    def class_interval(self, confidence: float = 0.95) -> np.ndarray:
        """(2, C), of each class's mean over thresholds."""
        ends = basic_interval(self.per_class, self.class_estimate, confidence)
        return ends.clip(0.0, 100.0)


def basic_interval(
    samples: np.ndarray, estimate: np.ndarray, confidence: float = 0.95
) -> np.ndarray:
    """(2, ...) ends of the basic intervals of estimates (...), of samples (B, ...), NaN left out.

    Raises:
        ValueError: a confidence that is none.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence!r}")
    ends = np.nanquantile(samples, [(1 + confidence) / 2, (1 - confidence) / 2], axis=0)
    interval: np.ndarray = 2 * estimate - ends
    return interval


def bootstrap_weights(num_videos: int, num_samples: int, seed: int, stream: int = 0) -> np.ndarray:
    """(V, B) int32: how often each of V videos is drawn, V draws with replacement a sample. The
    same numbers for the same seed, so that two models are compared on the same samples."""
    generator = np.random.default_rng([seed, stream])
    weights = np.empty((num_videos, num_samples), dtype=np.int32)
    for sample in range(num_samples):
        drawn = generator.integers(0, num_videos, num_videos)
        weights[:, sample] = np.bincount(drawn, minlength=num_videos)
    return weights


def after_the_original(weights: np.ndarray) -> np.ndarray:
    """(V, 1 + B): before the resamples (V, B), the videos as they are."""
    return np.concatenate([np.ones((len(weights), 1), dtype=weights.dtype), weights], axis=1)


def bootstrap_map(
    matches: Matches,
    detections: FlatSegments,
    instances: FlatSegments,
    num_videos: int,
    num_samples: int,
    seed: int = 0,
) -> BootstrapMap:
    """Resamples videos, not detections: matching is done once, and average precision is computed
    anew with each video counting as often as it was drawn.

    Args:
        num_videos: ids below it are videos with ground truth. Others (counted false positives) are
            drawn among themselves, so that the same seed draws the same videos for every model.
        num_samples: B, at least 1.

    Raises:
        TypeError, ValueError: a number of samples, or a seed, that is none.
    """
    _checks.check_integer("bootstrap", num_samples, 1)
    _checks.check_integer("seed", seed, 0)
    if num_samples > MOST_SAMPLES:
        raise ValueError(f"bootstrap must be at most {MOST_SAMPLES}, got {num_samples}")
    ids = [own for own in (detections.video_ids, instances.video_ids) if len(own)]
    others = max(max(int(own.max()) + 1 for own in ids) - num_videos, 0) if ids else 0
    weights = bootstrap_weights(num_videos, num_samples, seed)
    if others:
        weights = np.concatenate([weights, bootstrap_weights(others, num_samples, seed, 1)])
    resampled = resampled_map(matches, detections, instances, weights)
    once = average_precision(matches, instances)
    return BootstrapMap(
        resampled.maps,
        resampled.per_class,
        seed,
        100.0 * once.mean(axis=0),
        100.0 * once.mean(axis=1),
    )


def resampled_map(
    matches: Matches, detections: FlatSegments, instances: FlatSegments, weights: np.ndarray
) -> ResampledMap:
    """Of samples in which each video counts `weights` (V, B) times, B at least 1."""
    maps, classes = [], []
    for begin in range(0, weights.shape[1], SAMPLES_AT_ONCE):
        part = weights[:, begin : begin + SAMPLES_AT_ONCE]
        precision = resampled_precision(matches, detections, instances, part)
        present = ~np.isnan(precision)
        total = np.where(present, precision, 0.0).sum(axis=0)
        with np.errstate(invalid="ignore"):  # 0 / 0: no instance of any class was drawn
            maps.append((total / present.sum(axis=0)).T)
        classes.append(precision.mean(axis=1).T)
    return ResampledMap(100.0 * np.concatenate(maps), 100.0 * np.concatenate(classes))


def resampled_precision(
    matches: Matches, detections: FlatSegments, instances: FlatSegments, weights: np.ndarray
) -> np.ndarray:
    """(C, H, B): average precision where each video counts `weights` (V, B) times; NaN for a class
    none of whose instances count."""
    weights = np.ascontiguousarray(weights, dtype=np.int32)
    if weights.ndim != 2 or (weights < 0).any():
        raise ValueError(f"weights must be (V, B), and not negative, got shape {weights.shape}")
    num_classes, num_thresholds = len(matches.offsets) - 1, matches.found_by.shape[1]
    precision = np.empty((num_classes, num_thresholds, weights.shape[1]))
    order = np.ascontiguousarray(matches.order)
    _native.bootstrap_precision(
        found_by=matches.found_by.ctypes.data,
        videos=detections.video_ids.ctypes.data,
        true_videos=instances.video_ids.ctypes.data,
        true_classes=instances.class_ids.ctypes.data,
        order=order.ctypes.data,
        offsets=matches.offsets.ctypes.data,
        weights=weights.ctypes.data,
        precision=precision.ctypes.data,
        num_detections=len(detections),
        num_instances=len(instances),
        num_thresholds=num_thresholds,
        num_classes=num_classes,
        num_videos=len(weights),
        num_samples=weights.shape[1],
        threads=kernel_threads(),
    )
    return precision
