"""Predictions from files into flat arrays: natively where they are as usual, else as ever."""

from __future__ import annotations

import os

import numpy as np

from gaufuse_ext._library import _native
from gaufuse_ext.annotations import Source, load_predictions, predictions_of, read_packed
from gaufuse_ext.flat_segments import FlatSegments


def load_flat_predictions(source: Source, labelled: bool = True) -> FlatSegments:
    """What `gaufuse_ext.annotations.load_predictions` reads, in its order, as flat arrays.

    JSON in its usual spelling is read without a Python object for each detection; whatever else
    there is in a file, or wrong with it, is the general reader's affair.

    Args:
        labelled: False: of proposals, which need no label; all are of one class.

    Raises:
        FileNotFoundError, ValueError, TypeError: as `load_predictions`.
    """
    if not isinstance(source, (str, os.PathLike)):
        return FlatSegments.from_videos(load_predictions(source, labelled))
    data = read_packed(source)
    found = read_natively(data, labelled)
    if found is None:
        return FlatSegments.from_videos(predictions_of(source, data, labelled))
    return found


def read_natively(data: bytes, labelled: bool = True) -> FlatSegments | None:
    """None where the native reader leaves it to the general one."""
    found = _native.read_detections(data=data, labelled=labelled)
    if found is None:
        return None
    classes = found.classes
    if not all(name.strip() for name in classes):
        return None  # an error, and that reader says where
    count = len(found)
    segments, scores = np.empty((count, 2)), np.empty(count)
    video_ids, class_ids = np.empty(count, np.int32), np.empty(count, np.int32)
    found.copy_to(
        segments=segments.ctypes.data,
        scores=scores.ctypes.data,
        video_ids=video_ids.ctypes.data,
        class_ids=class_ids.ctypes.data,
    )
    return FlatSegments(segments, video_ids, class_ids, scores, found.videos, classes)
