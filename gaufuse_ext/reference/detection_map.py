"""Slow, obvious NumPy reference of `gaufuse_ext.detection_map`'s arithmetic: method section 6.

Videos are dictionaries of (segments (N, 2), scores (N,)) of one class; nothing is read, and nothing
is said about names.
"""

from __future__ import annotations

import numpy as np

from gaufuse_ext.array_types import Flags, Floats, Integers
from gaufuse_ext.reference.segment_iou import segment_iou

VideoSegments = dict[str, tuple[Floats, Floats]]


def average_precision(found: VideoSegments, truth: VideoSegments, thresholds: Floats) -> Floats:
    """(H,) average precision of one class."""
    total = sum(len(segments) for segments, _ in truth.values())
    scores, hits = [], []
    for video, (segments, video_scores) in found.items():
        order = np.argsort(-video_scores, kind="stable")
        scores.append(video_scores[order])
        instances = truth[video][0] if video in truth else np.empty((0, 2))
        matched = match(segment_iou(segments[order], instances), thresholds)
        hits.append(matched >= 0)
    if not scores:
        return np.zeros(len(thresholds))
    # Matching only concerns one video at a time; the ranking is over all of them.
    order = np.argsort(-np.concatenate(scores), kind="stable")
    true_positives = np.cumsum(np.concatenate(hits)[order], axis=0)  # (N, H)
    precision = true_positives / np.arange(1, len(order) + 1)[:, None]
    recall = true_positives / total
    return envelope_area(precision, recall)


def match(iou: Floats, thresholds: Floats) -> Integers:
    """(N, H): the free instance that prediction n, in the order of rank, takes at threshold h; -1:
    none reaches it."""
    taken = np.full((len(iou), len(thresholds)), -1)
    if iou.shape[1] == 0:
        return taken
    preference = np.argsort(-iou, axis=1, kind="stable")
    for h, threshold in enumerate(thresholds):
        free = np.ones(iou.shape[1], dtype=bool)
        for n in range(len(iou)):
            for instance in preference[n]:
                if iou[n, instance] < threshold:
                    break
                if free[instance]:
                    free[instance] = False
                    taken[n, h] = instance
                    break
    return taken


def envelope_area(precision: Floats, recall: Floats) -> Floats:
    """Area under the monotone envelope of precision over recall, both (N, H), by column."""
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    steps = np.diff(recall, axis=0, prepend=0.0)
    area: Floats = (envelope * steps).sum(axis=0)
    return area


def snippets(seconds: Floats) -> Floats:
    """THUMOS14: 16 frames a snippet at 25 frames per second."""
    return seconds * 25.0 / 16.0


def truncated(seconds: Floats) -> Floats:
    """Predicted boundaries under W-TALC's protocol."""
    boundaries: Floats = np.trunc(snippets(seconds))
    return boundaries


def rounded(seconds: Floats) -> Floats:
    """Annotated boundaries, and ambiguous intervals, under W-TALC's protocol."""
    boundaries: Floats = np.round(snippets(seconds))
    return boundaries


def clear_of(segments: Floats, intervals: Floats) -> Flags:
    """(N,) whether each segment overlaps none of the intervals; both in snippets."""
    overlaps: Flags = segment_iou(segments, intervals) > 0
    return np.logical_not(overlaps.any(axis=1))
