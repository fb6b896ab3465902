"""Exact duplicates among detections."""

from __future__ import annotations

import numpy as np

from gaufuse_ext._fork import kernel_threads
from gaufuse_ext._library import _native
from gaufuse_ext.flat_segments import FlatSegments


def repeated_detections(detections: FlatSegments) -> np.ndarray:
    """(N,) bool: whether a detection of lower index has the same video, class, boundaries and
    score.

    Under the greedy matching such a repetition is a false positive almost always; it is a sign that
    a file was written twice, or of boundaries that were rounded.
    """
    repeated = np.empty(len(detections), dtype=bool)
    num_videos = int(detections.video_ids.max()) + 1 if len(detections) else 0
    _native.repeated_detections(
        segments=detections.segments.ctypes.data,
        scores=detections.given_scores.ctypes.data,
        videos=detections.video_ids.ctypes.data,
        classes=detections.class_ids.ctypes.data,
        repeated=repeated.ctypes.data,
        num_detections=len(detections),
        num_videos=num_videos,
        threads=kernel_threads(),
    )
    return repeated
