"""Detections, the instances that they found, and those that they came close to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

import gaufuse_ext as gx
from gaufuse.localization.pooled_detections import CommonIds, NamedSegments, with_common_ids
from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.array_types import Array
from gaufuse_ext.evaluation.bootstrap import ResampledMap, resampled_map
from gaufuse_ext.evaluation.match_detections import Matches, match_detections
from gaufuse_ext.flat_segments import FlatSegments
from gaufuse_ext.reference.detection_map import rounded, truncated


@dataclass(frozen=True)
class Nearest:
    """The instance of highest tIoU, of each of N detections; ties: the lower one."""

    iou: Array  # (N,) 0 where there is none
    instance: Array  # (N,) -1 where there is none that it overlaps


@dataclass(frozen=True)
class MatchedDetections:
    """N detections and M instances with ids in common, matched at H thresholds."""

    common: CommonIds
    protocol: str
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

    def resampled_map(self, weights: Array) -> ResampledMap:
        """mAP where videos count `weights` (V, B) times."""
        return resampled_map(self.matches, self.detections, self.instances, weights)

    def at(self, threshold: float) -> MatchedDetections:
        """The same, matched at one threshold."""
        thresholds = np.array([threshold])
        matches = match_detections(self.detections, self.instances, thresholds, self.protocol)
        return replace(self, thresholds=thresholds, matches=matches)


def match(
    found: FlatSegments,
    truth: Mapping[str, VideoAnnotation],
    thresholds: Array,
    protocol: str = "activitynet",
) -> MatchedDetections:
    """As mAP matches under the protocol. Detections in videos without ground truth, and of classes
    without instances, are left out.

    Raises:
        ValueError: no annotation; no video or no class in common; thresholds that are not positive;
            an unknown protocol.
    """
    common = with_common_ids(found, truth)
    matches = match_detections(common.detections, common.instances, thresholds, protocol)
    same, other = nearest_instances(common.detections, common.instances, protocol)
    return MatchedDetections(common, protocol, np.asarray(thresholds), matches, same, other)


def nearest_instances(
    detections: NamedSegments, instances: NamedSegments, protocol: str = "activitynet"
) -> tuple[Nearest, Nearest]:
    """Of each detection's own class, and of others, by the tIoU of the protocol."""
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
        iou = paired_iou(detections.segments[rows], instances.segments[near], protocol)
        own = detections.class_ids[rows] == instances.class_ids[near]
        for nearest, mask in ((same, own), (other, ~own)):
            better = mask & (iou > nearest.iou[rows])
            nearest.iou[rows[better]] = iou[better]
            nearest.instance[rows[better]] = near[better]
    return same, other


def paired_iou(detections: Array, instances: Array, protocol: str) -> Array:
    """(K,) tIoU of segments (K, 2) and (K, 2) in seconds, pair by pair, as `match_detections` has
    it: of "thumos", over whole snippets."""
    if protocol == "thumos":
        detections, instances = truncated(detections), rounded(instances)
    a, b = (torch.from_numpy(segments).unsqueeze(1) for segments in (detections, instances))
    iou: Array = gx.segment_iou(a, b).numpy()
    return iou.reshape(-1)
