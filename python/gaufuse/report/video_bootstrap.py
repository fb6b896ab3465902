"""How far an mAP would move with other test videos, and the mAP of each video by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaufuse.analysis.matched_detections import MatchedDetections
from gaufuse_ext.evaluation.bootstrap import (
    ResampledMap,
    after_the_original,
    basic_interval,
    bootstrap_weights,
)

RESAMPLES = 1_000


@dataclass(frozen=True)
class Interval:
    """A number and its interval of 95 %."""

    value: float
    low: float
    high: float


def resample_videos(matched: MatchedDetections, count: int = RESAMPLES) -> ResampledMap:
    """(B + 1 samples) the first is the videos as they are, the others those of `gaufuse evaluate
    --bootstrap`: the same number of videos gives the same draws, so that two runs are compared on
    the same ones."""
    weights = bootstrap_weights(len(matched.instances.videos), count, seed=0)
    return matched.resampled_map(after_the_original(weights))


def video_maps(matched: MatchedDetections) -> np.ndarray:
    """(V,) mAP of each video by itself, mean over its classes and the thresholds, in percent; NaN
    for a video without annotation."""
    return matched.resampled_map(np.eye(len(matched.instances.videos), dtype=np.int32)).average


def interval(values: np.ndarray) -> Interval:
    """values: (B + 1,) in percent, or differences of such, the first one that of the videos as they
    are; an interval does not leave what is possible."""
    low, high = basic_interval(values[1:], values[0])
    least = 0.0 if np.nanmin(values) >= 0.0 else -100.0
    return Interval(float(values[0]), max(least, float(low)), min(100.0, float(high)))
