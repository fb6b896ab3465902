"""Which instances are found: by their length, their share of the video, and how many there are.

Groups of different sizes have different precision by chance, so average precision is normalised
(Hoiem et al., ECCV 2012, as in DETAD): with recall R after F false positives, precision is
R N / (R N + F), N being the mean number of instances of a class, the same for all groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gaufuse.analysis.matched_detections import MatchedDetections
from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.array_types import Array

GROUPS = 5  # quantiles of the instances, where no edges are given


@dataclass(frozen=True)
class InstanceGroup:
    """Instances whose value lies in (low, high]."""

    low: float
    high: float
    instances: int
    average_map: float | None  # normalised, percent, mean over thresholds; None: no instances
    missed: float | None  # percent of them that no detection finds, at the one tIoU asked for


@dataclass(frozen=True)
class Characteristic:
    """Instances grouped by one value of theirs."""

    name: str  # "length", "coverage", "number"
    unit: str
    groups: list[InstanceGroup]
    unknown: int  # instances without a value: of videos without a duration


def characteristics(
    matched: MatchedDetections,
    truth: Mapping[str, VideoAnnotation],
    missed: Array,
    edges: Mapping[str, Sequence[float]],
) -> list[Characteristic]:
    """
    Args:
        missed: (M,) bool, the instances that no detection finds.
        edges: by name, where groups end, ascending; a last one beyond all is added. Those that are
            not given: quantiles.
    """
    instances = matched.instances
    lengths = instances.segments[:, 1] - instances.segments[:, 0]
    known = (truth[video].duration for video in instances.videos)
    durations = np.array([np.nan if x is None or x <= 0 else x for x in known])
    numbers = np.bincount(instances.video_ids, minlength=len(instances.videos))
    values = {
        "length": ("s", lengths),
        "coverage": ("of the video", lengths / durations[instances.video_ids]),
        "number": ("instances a video", numbers[instances.video_ids].astype(float)),
    }
    return [
        _grouped(matched, name, unit, own, missed, edges.get(name))
        for name, (unit, own) in values.items()
    ]


def _grouped(
    matched: MatchedDetections,
    name: str,
    unit: str,
    values: Array,
    missed: Array,
    edges: Sequence[float] | None,
) -> Characteristic:
    known = np.isfinite(values)
    if not known.any():
        return Characteristic(name, unit, [], int((~known).sum()))
    ends = _ends(values[known], edges)
    group_of = np.where(known, np.searchsorted(ends, values, side="left"), -1)
    precision = normalised_precision(matched, group_of, len(ends))
    groups = []
    for g, high in enumerate(ends):
        own = group_of == g
        count = int(own.sum())
        groups.append(
            InstanceGroup(
                float(ends[g - 1]) if g else 0.0,
                float(high),
                count,
                100.0 * float(precision[g]) if count else None,
                100.0 * float(missed[own].mean()) if count else None,
            )
        )
    return Characteristic(name, unit, groups, int((~known).sum()))


def _ends(values: Array, edges: Sequence[float] | None) -> Array:
    """Ascending upper ends; the last is the largest value, or beyond."""
    largest = values.max()
    if edges is None:
        quantiles = np.quantile(values, np.arange(1, GROUPS) / GROUPS)
        ends = [float(f"{quantile:.2g}") for quantile in quantiles]
    else:
        ends = list(edges)
    return np.array([*sorted({end for end in ends if end < largest}), largest])


def normalised_precision(matched: MatchedDetections, group_of: Array, num_groups: int) -> Array:
    """(groups,) normalised average precision in [0, 1], the mean over the classes that have an
    instance in the group, and over thresholds. Detections that found instances outside the group
    count neither way."""
    order, offsets = matched.matches.order, matched.matches.offsets
    classes = matched.detections.class_ids[order]
    usual = len(matched.instances) / matched.num_classes
    totals = np.zeros((num_groups, matched.num_classes))
    inside = group_of >= 0
    np.add.at(totals, (group_of[inside], matched.instances.class_ids[inside]), 1)
    found = matched.matches.instances()[order]  # (N, H)
    precision = np.zeros((num_groups, len(matched.thresholds)))
    for column in range(len(matched.thresholds)):
        instance = found[:, column]
        wrong = np.concatenate([[0], np.cumsum(instance < 0)])
        hits = np.flatnonzero(instance >= 0)
        worse = wrong[hits] - wrong[offsets[classes[hits]]]  # false positives before it
        groups = group_of[instance[hits]]
        for g in range(num_groups):
            own = groups == g
            area = _areas(classes[hits[own]], worse[own], totals[g], usual)
            precision[g, column] = area[totals[g] > 0].mean() if (totals[g] > 0).any() else 0.0
    means: Array = precision.mean(axis=1)
    return means


def _areas(classes: Array, worse: Array, totals: Array, usual: float) -> Array:
    """(C,) area under the envelope of normalised precision, of hits by class, then by rank."""
    if not len(classes):
        return np.zeros(len(totals))
    place = np.arange(len(classes)) - np.searchsorted(classes, classes) + 1
    recall = place / totals[classes]
    precision = recall * usual / (recall * usual + worse)
    # From the last to the first: a lift by class keeps each class's maxima to itself.
    lift = 2.0 * (len(totals) - classes)
    envelope = np.maximum.accumulate((precision + lift)[::-1])[::-1] - lift
    areas: Array = np.bincount(classes, envelope, minlength=len(totals))
    return areas / np.maximum(totals, 1.0)
