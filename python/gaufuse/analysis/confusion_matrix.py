"""Which classes are taken for which."""

from __future__ import annotations

import numpy as np

from gaufuse.analysis.matched_detections import (
    MatchedDetections,
    pairwise_iou,
    rows_by_video,
)
from gaufuse_ext.array_types import Array


def confusion_matrix(matched: MatchedDetections) -> Array:
    """(C + 1, C + 1) int64: rows are the instances' classes, and last detections of no instance;
    columns the detections' classes, and last instances that were missed.

    Of the G_c best detections of each class c, as many as it has instances, at the one threshold
    that was matched: those that found an instance of their class; then, by score, each of the
    others takes the free instance of another class that overlaps it most, by the threshold at
    least. Rows sum to the classes' instances, columns to their detections.
    """
    (alpha,) = matched.thresholds
    detections, instances = matched.detections, matched.instances
    classes = matched.num_classes
    matrix = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    top = matched.ranks() < matched.instances_by_class()[detections.class_ids]
    found = matched.matches.instances()[:, 0]
    right = top & (found >= 0)
    free = np.ones(len(instances), dtype=bool)
    free[found[right]] = False
    np.add.at(matrix, (detections.class_ids[right], detections.class_ids[right]), 1)

    by_video = rows_by_video(instances.video_ids, len(instances.videos))
    left = top & ~right
    candidates = np.flatnonzero(left & (matched.other.iou >= alpha))
    for row in candidates[np.argsort(-detections.scores[candidates], kind="stable")]:
        near = by_video[detections.video_ids[row]]
        near = near[free[near] & (instances.class_ids[near] != detections.class_ids[row])]
        segment = detections.segments[row : row + 1]
        overlap = pairwise_iou(segment, instances.segments[near], matched.protocol)[0]
        if not len(near) or overlap.max() < alpha:
            continue
        taken = near[overlap.argmax()]
        free[taken] = left[row] = False
        matrix[instances.class_ids[taken], detections.class_ids[row]] += 1
    matrix[classes, :classes] = np.bincount(detections.class_ids[left], minlength=classes)
    matrix[:classes, classes] = np.bincount(instances.class_ids[free], minlength=classes)
    return matrix
