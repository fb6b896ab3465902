"""How good snippet labels are against annotated segments: to look at, never to train or choose by.

Over the labelled classes of each video alone, as labels of other classes are 0 by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gaufuse.data.dataset import VideoSubset

BINS = 10


@dataclass(frozen=True)
class LabelQuality:
    """Of all (snippet, labelled class) pairs of the annotated videos together."""

    average_precision: float  # of the pairs, ranked by label
    brier: float  # mean squared difference to the truth
    calibration_error: float  # mean |share of positives - mean label| of a bin, by its pairs
    # The multiple of the change since the labels before that, added, would have brought them
    # nearest to the truth. Above 0, labels are on their way and short of it. Labels that are 0 or 1
    # cannot be: they have less than 0 by the share of changes that were wrong, -0.5 by chance.
    # None: there were none before, or nothing has changed.
    best_gain: float | None = None


def label_quality(
    labels: Sequence[torch.Tensor],
    subset: VideoSubset,
    previous: Sequence[torch.Tensor] | None = None,
) -> LabelQuality | None:
    """None where no video has segments, but only labels.

    Args:
        labels: (T, C) in [0, 1] of each video of the subset.
        previous: those before them, as labels.
    """
    index = {label: c for c, label in enumerate(subset.info.classes)}
    found, truth, changes = [], [], []
    for video, name in enumerate(subset.names):
        own = subset.annotations[name]
        if not len(own.segments) or not (own.segments[:, 1] > own.segments[:, 0]).all():
            continue
        snippets = own.segments / subset.snippet_seconds[video]
        for label in dict.fromkeys(own.labels):
            chosen = [other == label for other in own.labels]
            found.append(labels[video][:, index[label]].double().cpu().numpy())
            if previous is not None:
                changes.append(found[-1] - previous[video][:, index[label]].double().cpu().numpy())
            truth.append(covered_snippets(snippets[chosen], len(labels[video])))
    if not found:
        return None
    pairs, positive = np.concatenate(found), np.concatenate(truth)
    return LabelQuality(
        average_precision(pairs, positive) or 0.0,
        float(np.square(pairs - positive).mean()),
        calibration_error(calibration(pairs, positive)),
        best_gain(np.concatenate(changes), positive - pairs) if changes else None,
    )


def covered_snippets(segments: np.ndarray, length: int) -> np.ndarray:
    """(T,) bool: the snippets that segments (N, 2), in snippets, cover, rounded, at least one
    each."""
    covered = np.zeros(length, dtype=bool)
    for start, end in segments:
        first = min(max(0, round(start)), length - 1)
        covered[first : max(first + 1, round(end))] = True
    return covered


def best_gain(change: np.ndarray, error: np.ndarray) -> float | None:
    """The g that makes the sum of (error - g change)^2 least; None where nothing has changed.

    Args:
        change: (N,) of labels, to what they are.
        error: (N,) truth less labels.
    """
    size = float(np.square(change).sum())
    return float((change * error).sum()) / size if size > 0.0 else None


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


def calibration_error(table: list[dict[str, float]]) -> float:
    """Mean |share of positives - mean label| of the bins of `calibration`, by their snippets."""
    snippets = sum(row["snippets"] for row in table)
    return sum(abs(row["positive"] - row["label"]) * row["snippets"] for row in table) / snippets
