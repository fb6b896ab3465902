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
    same, other = (
        Nearest(np.zeros(len(detections)), np.full(len(detections), -1)) for _ in range(2)
    )
    videos = len(instances.videos)
    by_video = (rows_by_video(flat.video_ids, videos) for flat in (detections, instances))
    for rows, near in zip(*by_video, strict=True):
        if not len(near):
            continue
        iou = pairwise_iou(detections.segments[rows], instances.segments[near], protocol)
        own = detections.class_ids[rows, None] == instances.class_ids[near]
        for nearest, mask in ((same, own), (other, ~own)):
            values = np.where(mask, iou, 0.0)
            nearest.iou[rows] = values.max(axis=1)
            best = near[values.argmax(axis=1)]
            nearest.instance[rows] = np.where(nearest.iou[rows] > 0.0, best, -1)
    return same, other


def rows_by_video(video_ids: Array, videos: int) -> list[Array]:
    """The rows of each video, in their order."""
    order = np.argsort(video_ids, kind="stable")
    return np.split(order, np.cumsum(np.bincount(video_ids, minlength=videos))[:-1])


def pairwise_iou(detections: Array, instances: Array, protocol: str) -> Array:
    """(N, M) tIoU of segments (N, 2) and (M, 2) in seconds, as `match_detections` has it: of
    "thumos", over whole snippets."""
    if protocol == "thumos":
        detections, instances = truncated(detections), rounded(instances)
    iou: Array = gx.segment_iou(torch.from_numpy(detections), torch.from_numpy(instances)).numpy()
    return iou
