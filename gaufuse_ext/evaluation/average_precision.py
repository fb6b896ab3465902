"""Average precision of matched detections, and the curves behind it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gaufuse_ext._fork import kernel_threads
from gaufuse_ext._library import _native
from gaufuse_ext.evaluation.match_detections import Matches
from gaufuse_ext.flat_segments import FlatSegments


class PrecisionRecall(NamedTuple):
    """One class's curve, after each of its detections, by rank."""

    scores: np.ndarray  # (N,) descending
    precision: np.ndarray  # (N, H) as it is; the envelope is the maximum from each rank on
    recall: np.ndarray  # (N, H)

    def at_recall(self, recall: np.ndarray) -> np.ndarray:
        """(R, H) the envelope's precision at these recalls; 0 beyond the highest that is
        reached."""
        envelope = np.maximum.accumulate(self.precision[::-1], axis=0)[::-1]
        padded = np.concatenate([envelope, np.zeros((1, envelope.shape[1]))])
        columns = zip(self.recall.T, padded.T, strict=True)
        # A recall that is reached but for rounding is reached.
        found = [values[np.searchsorted(own, recall - 1e-12)] for own, values in columns]
        return np.stack(found, axis=1)


def average_precision(matches: Matches, instances: FlatSegments) -> np.ndarray:
    """(C, H): the area under the monotone envelope of precision over recall, in [0, 1]; 0 for a
    class without detections, NaN for one without instances."""
    num_classes, num_thresholds = len(matches.offsets) - 1, matches.found_by.shape[1]
    precision = np.empty((num_classes, num_thresholds))
    order = np.ascontiguousarray(matches.order)
    _native.average_precision(
        found_by=matches.found_by.ctypes.data,
        true_classes=instances.class_ids.ctypes.data,
        order=order.ctypes.data,
        offsets=matches.offsets.ctypes.data,
        precision=precision.ctypes.data,
        num_detections=matches.num_detections,
        num_instances=len(instances),
        num_thresholds=num_thresholds,
        num_classes=num_classes,
        threads=kernel_threads(),
    )
    return precision


def precision_recall(
    matches: Matches, detections: FlatSegments, instances: FlatSegments
) -> list[PrecisionRecall]:
    """The curve of every class, in the order of their ids."""
    hits = matches.instances() >= 0
    totals = np.bincount(instances.class_ids, minlength=len(matches.offsets) - 1)
    scores, curves = detections.given_scores, []
    for c, total in enumerate(totals):
        order = matches.order[matches.offsets[c] : matches.offsets[c + 1]]
        found = np.cumsum(hits[order], axis=0)
        ranks = np.arange(1, len(order) + 1)[:, None]
        recall = found / max(total, 1)
        curves.append(PrecisionRecall(scores[order], found / ranks, recall))
    return curves
