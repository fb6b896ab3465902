"""What each error costs: the average mAP without it, less the average mAP (docs/analysis.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaufuse.analysis.error_types import (
    ERRORS,
    LOCALIZATION,
    TRUE_POSITIVE,
    WRONG_LABEL,
    error_types,
)
from gaufuse.analysis.matched_detections import MatchedDetections
from gaufuse.localization.pooled_detections import select
from gaufuse_ext.array_types import Array
from gaufuse_ext.evaluation.average_precision import average_precision
from gaufuse_ext.evaluation.match_detections import Matches

CORRECTABLE = {WRONG_LABEL: "wrong label", LOCALIZATION: "localization"}


@dataclass(frozen=True)
class Gains:
    """In percent points of average mAP; the mAP of an oracle is average_map plus its gain."""

    average_map: float
    removed: dict[str, float]  # each of ERRORS, "misses", "all false positives", "everything"
    corrected: dict[str, float]  # wrong label, localization


def error_gains(matched: MatchedDetections) -> Gains:
    """Means over the thresholds, at each of which the errors are those of that threshold.

    "misses": instances that no detection found are no longer asked for; classes of which nothing
    was found leave the mean. Corrected, as in TIDE (Bolya et al., ECCV 2020): the best detection
    with a wrong label, or a wrong boundary, of an instance that nothing found becomes a true
    positive with its own score; the others are removed.
    """
    rows: dict[tuple[str, str], list[float]] = {}
    by_score = np.argsort(np.argsort(-matched.detections.scores, kind="stable"), kind="stable")
    for column in range(len(matched.thresholds)):
        kinds = error_types(matched, column)
        found_by = matched.matches.found_by[:, column : column + 1]
        found = found_by[:, 0] >= 0
        right = kinds == TRUE_POSITIVE
        everything = np.ones(len(kinds), dtype=bool)
        every_instance = np.ones(len(found), dtype=bool)

        def keep(
            name: str, detections: Array, instances: Array, found_by: Array = found_by
        ) -> None:
            value = _map(matched, found_by, detections, instances)
            rows.setdefault(("removed", name), []).append(value)

        keep("nothing", everything, every_instance)
        for kind, name in enumerate(ERRORS, start=1):
            keep(name, kinds != kind, every_instance)
        keep("misses", everything, found)
        keep("all false positives", right, every_instance)
        keep("everything", right, found)
        for kind, name in CORRECTABLE.items():
            value = _corrected_map(matched, kinds, found_by, kind, by_score)
            rows.setdefault(("corrected", name), []).append(value)
    values = {key: 100.0 * float(np.mean(row)) for key, row in rows.items()}
    base = values.pop(("removed", "nothing"))
    gains = {key: value - base for key, value in values.items()}
    return Gains(
        base,
        {name: gain for (how, name), gain in gains.items() if how == "removed"},
        {name: gain for (how, name), gain in gains.items() if how == "corrected"},
    )


def _map(matched: MatchedDetections, found_by: Array, detections: Array, instances: Array) -> float:
    """mAP at one threshold of the detections and instances that the masks leave."""
    order = matched.matches.order
    order = order[detections[order]]
    return _mean_precision(matched, found_by, order, matched.detections.class_ids, instances)


def _mean_precision(
    matched: MatchedDetections,
    found_by: Array,
    order: Array,
    class_ids: Array,
    instances: Array,
) -> float:
    """Over the classes that have an instance left. `order`: by class, then by rank."""
    offsets = np.searchsorted(class_ids[order], np.arange(matched.num_classes + 1))
    matches = Matches(
        np.ascontiguousarray(found_by[instances]), order, offsets, len(matched.detections)
    )
    precision = average_precision(matches, select(matched.instances, instances))
    present = ~np.isnan(precision)
    return float(precision[present].mean()) if present.any() else 0.0


def _corrected_map(
    matched: MatchedDetections,
    kinds: Array,
    found_by: Array,
    kind: int,
    by_score: Array,
) -> float:
    nearest = matched.other if kind == WRONG_LABEL else matched.same
    wrong = np.flatnonzero(kinds == kind)
    wrong = wrong[np.argsort(by_score[wrong])]
    targets, first = np.unique(nearest.instance[wrong], return_index=True)
    free = found_by[targets, 0] < 0
    heroes, targets = wrong[first[free]], targets[free]
    found_by = found_by.copy()
    found_by[targets, 0] = heroes
    class_ids = matched.detections.class_ids.astype(np.int64)
    class_ids[heroes] = matched.instances.class_ids[targets]
    left = kinds != kind
    left[heroes] = True
    rows = np.flatnonzero(left)
    order = rows[np.argsort(class_ids[rows] * len(kinds) + by_score[rows], kind="stable")]
    every_instance = np.ones(len(found_by), dtype=bool)
    return _mean_precision(matched, found_by, order, class_ids, every_instance)
