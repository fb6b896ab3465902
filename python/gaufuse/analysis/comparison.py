"""Two models on the same videos: differences, with intervals by a paired bootstrap over videos.

Both models are drawn the same videos each time, so what is hard for both cancels out. Intervals
are basic ones (reflected percentiles), as in `gaufuse report`: a resample has fewer different
videos, which moves its mAP.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaufuse.analysis.error_types import KINDS, shares
from gaufuse.analysis.matched_detections import MatchedDetections
from gaufuse_ext.array_types import Array
from gaufuse_ext.evaluation.bootstrap import (
    after_the_original,
    basic_interval,
    bootstrap_weights,
)

SAMPLES_AT_ONCE = 128  # what (detections, samples) are kept of


@dataclass(frozen=True)
class Difference:
    """The second model less the first, in percent points."""

    value: float
    low: float
    high: float  # of the 95 % interval
    positive: float  # percent of the resamples in which it is above zero


@dataclass(frozen=True)
class Comparison:
    """The second model less the first."""

    average_map: Difference
    shares: dict[str, Difference]  # of each of KINDS among the top k * G, at one tIoU
    resamples: int
    seed: int


def compare(
    first: MatchedDetections,
    second: MatchedDetections,
    first_kinds: Array,
    second_kinds: Array,
    *,
    k: int = 1,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """
    Args:
        first, second: on the same ground truth, at the same thresholds.
        first_kinds, second_kinds: (N,) and (N',) error types at the tIoU of the shares.

    Raises:
        ValueError: no resample, or other videos.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    if first.instances.videos != second.instances.videos:
        raise ValueError("two models can be compared on the same ground truth only")
    videos = len(first.instances.videos)
    weights = after_the_original(bootstrap_weights(videos, resamples, seed))
    maps = second.resampled_map(weights).average - first.resampled_map(weights).average
    changes = resampled_shares(second, second_kinds, weights, k) - resampled_shares(
        first, first_kinds, weights, k
    )
    return Comparison(
        _difference(maps),
        {name: _difference(values) for name, values in zip(KINDS, changes.T, strict=True)},
        resamples,
        seed,
    )


def _difference(values: Array) -> Difference:
    """Of what it is (values[0]) and its resamples."""
    value, resampled = values[0], values[1:]
    low, high = basic_interval(resampled, value)
    positive = 100.0 * float((resampled > 0.0).mean())
    return Difference(float(value), float(low), float(high), positive)


def resampled_shares(matched: MatchedDetections, kinds: Array, weights: Array, k: int) -> Array:
    """(S, 6) percent of each kind among the top k * G_c detections of every class c, where each
    video, its detections and its instances are there `weights` (V, S) times."""
    counts = np.zeros((weights.shape[1], len(KINDS)))
    order, offsets = matched.matches.order, matched.matches.offsets
    instances = [
        matched.instances.video_ids[matched.instances.class_ids == c]
        for c in range(matched.num_classes)
    ]
    for begin in range(0, weights.shape[1], SAMPLES_AT_ONCE):
        part = slice(begin, begin + SAMPLES_AT_ONCE)
        own = weights[:, part]
        for c, where in enumerate(instances):
            rows = order[offsets[c] : offsets[c + 1]]
            room = k * own[where].sum(axis=0)
            counts[part] += _taken(own, matched.detections.video_ids[rows], kinds[rows], room)
    return 100.0 * shares(counts)


def _taken(weights: Array, videos: Array, kinds: Array, room: Array) -> Array:
    """(S, 6) how many of each kind fit into `room` (S,), taken by rank, a block at a time."""
    counts = np.zeros((len(room), len(KINDS)))
    left = room.astype(np.float64)
    block = max(64, int(room.max(initial=0)))
    for begin in range(0, len(videos), block):
        rows = slice(begin, begin + block)
        copies = weights[videos[rows]].astype(np.float64)  # (block, S)
        before = np.cumsum(copies, axis=0) - copies
        taken = np.clip(left - before, 0.0, copies)
        counts += taken.T @ (kinds[rows, None] == np.arange(len(KINDS))).astype(np.float64)
        left = left - taken.sum(axis=0)
        if not left.any():
            break
    return counts
