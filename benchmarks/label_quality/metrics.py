"""Pseudo labels against ground-truth snippets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


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
        calibration_error=sum(
            abs(row["positive"] - row["label"]) * row["snippets"] for row in table
        )
        / len(everything),
        calibration=table,
    )


def average_precision(labels: np.ndarray, truth: np.ndarray) -> float | None:
    """Area under the precision-recall steps; None where nothing is positive.

    Equal labels are one step: how they are ordered must not matter, as pseudo labels are constant
    over whole instances and zero outside.
    """
    positives = int(truth.sum())
    if positives == 0:
        return None
    order = np.argsort(-labels, kind="stable")
    ranked = labels[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    found = np.cumsum(truth[order])[last]
    gained = np.diff(np.concatenate([[0], found]))
    return float((gained * found / (last + 1)).sum() / positives)


def calibration(labels: np.ndarray, truth: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """Bins of equal width that hold a snippet: how many, their mean label, their share of positive
    snippets. Calibrated labels have the two equal."""
    index = np.minimum((labels * bins).astype(int), bins - 1)
    table = []
    for k in np.unique(index):
        own = index == k
        table.append(
            {
                "from": float(k / bins),
                "to": float((k + 1) / bins),
                "snippets": int(own.sum()),
                "label": float(labels[own].mean()),
                "positive": float(truth[own].mean()),
            }
        )
    return table


def _mean(values: Sequence[float | None]) -> float:
    """Over those that are defined."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else 0.0
