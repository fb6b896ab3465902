"""Greedy matching of detections to ground-truth instances, on flat arrays (method section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gaufuse_ext._fork import kernel_threads
from gaufuse_ext._library import _native
from gaufuse_ext.flat_segments import FlatSegments
from gaufuse_ext.thresholds import PROTOCOLS

NO_SEGMENTS = FlatSegments(np.empty((0, 2)), np.empty(0, np.int32), np.empty(0, np.int32))


class Matches(NamedTuple):
    """Which detection found which instance; N detections, M instances, H thresholds, C classes."""

    found_by: np.ndarray  # (M, H) int32: the detection that an instance was found by, or -1
    order: np.ndarray  # (N,) int64: detections by class, the highest score of each first
    offsets: np.ndarray  # (C + 1,) int64: class c's are order[offsets[c]:offsets[c + 1]]
    num_detections: int  # N, also of those that were left out, which order does not have

    def instances(self) -> np.ndarray:
        """(N, H) int32: the instance that each detection found, or -1: a false positive, or left
        out."""
        instances = np.full((self.num_detections, self.found_by.shape[1]), -1, dtype=np.int32)
        instance, threshold = np.nonzero(self.found_by >= 0)
        instances[self.found_by[instance, threshold], threshold] = instance
        return instances


def match_detections(
    detections: FlatSegments,
    instances: FlatSegments,
    iou_thresholds: np.ndarray | Sequence[float],
    protocol: str = "activitynet",
    *,
    class_ids: np.ndarray | None = None,
    ambiguous: FlatSegments = NO_SEGMENTS,
) -> Matches:
    """Matches detections to the instances of their video and class, by descending score, each to
    the instance of highest IoU that is still free, at each tIoU threshold for itself.

    The ids of both sides must mean the same: nothing is looked up by name here. Of equal scores the
    lower index goes first; of equal IoUs the lower instance is taken. CPU, multi-threaded.

    Args:
        detections: with scores.
        instances: ground truth.
        iou_thresholds: (H,) in (0, 1].
        protocol: "activitynet": seconds; "thumos": boundaries are made whole snippets first.
        class_ids: (N,) int32 instead of the detections' own; -1: left out.
        ambiguous: intervals; detections that overlap one of their video's are left out ("thumos").

    Raises:
        ValueError: an unknown protocol, no threshold or one that is not positive, detections
            without scores.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be activitynet or thumos, got {protocol!r}")
    thresholds = np.ascontiguousarray(iou_thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or not len(thresholds) or not (thresholds > 0).all():
        raise ValueError(f"iou_thresholds must be positive, got {iou_thresholds!r}")
    scores = detections.given_scores
    own_classes = detections.class_ids
    if class_ids is not None:
        own_classes = np.ascontiguousarray(class_ids, dtype=np.int32)
        if own_classes.shape != (len(detections),):
            raise ValueError(
                f"class_ids must have shape ({len(detections)},), got {own_classes.shape}"
            )
    num_classes = _size(own_classes, instances.class_ids)
    num_videos = _size(detections.video_ids, instances.video_ids, ambiguous.video_ids)
    found_by = np.empty((len(instances), len(thresholds)), dtype=np.int32)
    order = np.empty(len(detections), dtype=np.int64)
    offsets = np.empty(num_classes + 1, dtype=np.int64)
    _native.match_detections(
        segments=detections.segments.ctypes.data,
        scores=scores.ctypes.data,
        videos=detections.video_ids.ctypes.data,
        classes=own_classes.ctypes.data,
        true_segments=instances.segments.ctypes.data,
        true_videos=instances.video_ids.ctypes.data,
        true_classes=instances.class_ids.ctypes.data,
        ambiguous_segments=ambiguous.segments.ctypes.data,
        ambiguous_videos=ambiguous.video_ids.ctypes.data,
        thresholds=thresholds.ctypes.data,
        found_by=found_by.ctypes.data,
        order=order.ctypes.data,
        offsets=offsets.ctypes.data,
        num_detections=len(detections),
        num_instances=len(instances),
        num_ambiguous=len(ambiguous),
        num_thresholds=len(thresholds),
        num_classes=num_classes,
        num_videos=num_videos,
        in_snippets=protocol == "thumos",
        threads=kernel_threads(),
    )
    return Matches(found_by, order[: offsets[-1]], offsets, len(detections))


def _size(*ids: np.ndarray) -> int:
    """More than the largest id."""
    return max((int(own.max()) + 1 for own in ids if len(own)), default=0)
