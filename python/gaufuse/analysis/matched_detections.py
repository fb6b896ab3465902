"""Detections, the instances that they found, and those that they came close to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gaufuse.localization.pooled_detections import CommonIds, NamedSegments, with_common_ids
from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.array_types import Array
from gaufuse_ext.evaluation.match_detections import Matches, match_detections
from gaufuse_ext.flat_segments import FlatSegments


@dataclass(frozen=True)
class Nearest:
    """The instance of highest tIoU, of each of N detections; ties: the lower one."""

    iou: Array  # (N,) 0 where there is none
    instance: Array  # (N,) -1 where there is none that it overlaps


@dataclass(frozen=True)
class MatchedDetections:
    """N detections and M instances with ids in common, matched at H thresholds."""

    common: CommonIds
    thresholds: Array  # (H,)
    matches: Matches
    same: Nearest  # of the detection's own class, in its video
    other: Nearest  # of other classes

    @property
    def detections(self) -> NamedSegments:
        """By the ids of the ground truth."""
        return self.common.detections

    @property
    def instances(self) -> NamedSegments:
        """The ground truth."""
        return self.common.instances

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.instances.classes)

    def instances_by_class(self) -> Array:
        """(C,) how many there are."""
        return np.bincount(self.instances.class_ids, minlength=self.num_classes)

    def ranks(self) -> Array:
        """(N,) place of each detection in its class by score, from 0."""
        ranks = np.empty(len(self.detections), dtype=np.int64)
        order, offsets = self.matches.order, self.matches.offsets
        ranks[order] = np.arange(len(order)) - np.repeat(offsets[:-1], np.diff(offsets))
        return ranks

    def at(self, threshold: float) -> MatchedDetections:
        """The same, matched at one threshold."""
        thresholds = np.array([threshold])
        matches = match_detections(self.detections, self.instances, thresholds)
        return MatchedDetections(self.common, thresholds, matches, self.same, self.other)


def match(
    found: FlatSegments, truth: Mapping[str, VideoAnnotation], thresholds: Array
) -> MatchedDetections:
    """In seconds, as the ActivityNet protocol matches. Detections in videos without ground truth,
    and of classes without instances, are left out.

    Raises:
        ValueError: no annotation; no video or no class in common; thresholds that are not positive.
    """
    common = with_common_ids(found, truth)
    matches = match_detections(common.detections, common.instances, thresholds)
    same, other = nearest_instances(common.detections, common.instances)
    return MatchedDetections(common, np.asarray(thresholds), matches, same, other)


def nearest_instances(
    detections: NamedSegments, instances: NamedSegments
) -> tuple[Nearest, Nearest]:
    """Of each detection's own class, and of others."""
    order = np.argsort(instances.video_ids, kind="stable")
    counts = np.bincount(instances.video_ids, minlength=len(instances.videos))
    first = np.cumsum(counts) - counts
    found = counts[detections.video_ids]
    same, other = (
        Nearest(np.zeros(len(detections)), np.full(len(detections), -1)) for _ in range(2)
    )
    for j in range(int(counts.max(initial=0))):  # each video's j-th instance
        rows = np.flatnonzero(found > j)
        near = order[first[detections.video_ids[rows]] + j]
        iou = tiou(detections.segments[rows], instances.segments[near])
        own = detections.class_ids[rows] == instances.class_ids[near]
        for nearest, mask in ((same, own), (other, ~own)):
            better = mask & (iou > nearest.iou[rows])
            nearest.iou[rows[better]] = iou[better]
            nearest.instance[rows[better]] = near[better]
    return same, other


def tiou(a: Array, b: Array) -> Array:
    """Of segments (..., 2) and (..., 2), broadcast, in the kernels' arithmetic."""
    shared = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])
    shared = np.maximum(shared, 0.0)
    base = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared
    iou: Array = np.divide(shared, base, out=np.zeros(shared.shape), where=base > 0.0)
    return iou
