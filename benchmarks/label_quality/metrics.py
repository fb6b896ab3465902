"""Pseudo labels against ground-truth snippets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaufuse.labels.label_quality import average_precision, calibration, calibration_error


@dataclass(frozen=True)
class Quality:
    """Of the labels of all groups (a true class of a video each) of a source."""

    pooled_ap: float  # of all snippets of all groups together
    class_ap: float  # of each class's snippets together; mean over the classes
    group_ap: float  # of each group's snippets: order within a video only; mean over the groups
    brier: float  # mean squared difference to the truth, all snippets together
    calibration_error: float  # mean |share of positives - mean label| of a bin, by its snippets
    calibration: list[dict[str, float]]


def measure(
    labels: Sequence[np.ndarray], truth: Sequence[np.ndarray], classes: Sequence[str]
) -> Quality:
    """Labels in [0, 1] (T,), truth bool (T,) and the class of each group."""
    groups = list(zip(labels, truth, strict=True))
    by_class = [
        average_precision(*map(np.concatenate, zip(*own, strict=True)))
        for name in dict.fromkeys(classes)
        if (own := [pair for pair, other in zip(groups, classes, strict=True) if other == name])
    ]
    everything, positive = np.concatenate(labels), np.concatenate(truth)
    table = calibration(everything, positive)
    return Quality(
        pooled_ap=average_precision(everything, positive),
        class_ap=_mean(by_class),
        group_ap=_mean([average_precision(*pair) for pair in groups]),
        brier=float(np.square(everything - positive).mean()),
        calibration_error=calibration_error(table),
        calibration=table,
    )


def _mean(values: Sequence[float | None]) -> float:
    """Over those that are defined."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else 0.0
