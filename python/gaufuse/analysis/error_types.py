"""What each detection is: a true positive, or which error (docs/analysis.md).

After DETAD (Alwassel et al., ECCV 2018), with matching as mAP has it.
"""

from __future__ import annotations

import numpy as np

from gaufuse.analysis.matched_detections import MatchedDetections
from gaufuse_ext.array_types import Array

TRUE_POSITIVE, DOUBLE, WRONG_LABEL, LOCALIZATION, CONFUSION, BACKGROUND = range(6)
KINDS = (
    "true positive",
    "double detection",
    "wrong label",
    "localization",
    "confusion",
    "background",
)
ERRORS = KINDS[1:]
BACKGROUND_IOU = 0.1  # a detection that overlaps every instance less is on background


def error_types(matched: MatchedDetections, column: int = 0) -> Array:
    """(N,) int8, a place in KINDS, at the threshold alpha of a column:

    - true positive: it found an instance, as mAP counts;
    - double detection: an instance of its class overlaps it by alpha, but a better one found that;
    - wrong label: else, an instance of another class overlaps it by alpha;
    - localization: else, an instance of its class overlaps it by 0.1;
    - confusion: else, one of another class does;
    - background: nothing does.
    """
    alpha = matched.thresholds[column]
    same, other = matched.same.iou, matched.other.iou
    conditions = (
        matched.matches.instances()[:, column] >= 0,
        same >= alpha,
        other >= alpha,
        same >= BACKGROUND_IOU,
        other >= BACKGROUND_IOU,
    )
    kinds = np.arange(len(conditions), dtype=np.int8)
    return np.select(conditions, list(kinds), default=np.int8(BACKGROUND)).astype(np.int8)


def profile(matched: MatchedDetections, kinds: Array, most: int = 10) -> Array:
    """(most, 6) how many of each kind are among the top kG, k = 1 ... most: the k * G_c best
    detections of each class c, which has G_c instances, of all classes together."""
    times = matched.ranks() // matched.instances_by_class()[matched.detections.class_ids]
    inside = times < most
    counts = np.zeros((most, len(KINDS)), dtype=np.int64)
    np.add.at(counts, (times[inside], kinds[inside]), 1)
    return counts.cumsum(axis=0)


def shares(counts: Array) -> Array:
    """Of the last axis; zeros where there is nothing."""
    total = counts.sum(axis=-1, keepdims=True)
    own: Array = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    return own
