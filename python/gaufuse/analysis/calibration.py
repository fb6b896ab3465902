"""Whether scores are probabilities of being right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaufuse_ext.array_types import Array

BINS = 10  # of equal width, from 0 to 1


@dataclass(frozen=True)
class ReliabilityBin:
    """Detections whose score lies in (low, high]; the first bin has 0, too."""

    low: float
    high: float
    detections: int
    score: float | None  # their mean
    precision: float | None  # the share of true positives


@dataclass(frozen=True)
class Calibration:
    """Scores beside the precision that they promise."""

    error: float  # expected calibration error: the mean of |precision - score| over detections
    bins: list[ReliabilityBin]


def calibration(scores: Array, right: Array) -> Calibration | None:
    """
    Args:
        scores, right: (N,) of all detections; right: bool, true positives.

    Returns:
        None where scores are no probabilities: outside [0, 1], or there are none.
    """
    if not len(scores) or scores.min() < 0.0 or scores.max() > 1.0:
        return None
    ends = np.arange(1, BINS + 1) / BINS
    places = np.minimum(np.searchsorted(ends, scores, side="left"), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    score_sums = np.bincount(places, scores, minlength=BINS)
    right_sums = np.bincount(places, right, minlength=BINS)
    bins = [
        ReliabilityBin(
            float(end - 1 / BINS) if b else 0.0,
            float(end),
            int(counts[b]),
            float(score_sums[b] / counts[b]) if counts[b] else None,
            float(right_sums[b] / counts[b]) if counts[b] else None,
        )
        for b, end in enumerate(ends)
    ]
    return Calibration(float(np.abs(right_sums - score_sums).sum() / len(scores)), bins)
