"""Mean average precision of temporal detections (method section 6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gaufuse_ext.annotations import (
    Segments,
    Source,
    choose_subset,
    load_ground_truth,
    load_predictions,
)
from gaufuse_ext.class_names import (
    check_videos_in_common,
    few,
    unknown_classes,
    with_names,
)
from gaufuse_ext.reference.segment_iou import segment_iou
from gaufuse_ext.text import read_text
from gaufuse_ext.thresholds import PROTOCOLS, parse_thresholds

UNKNOWN_VIDEOS = ("ignore", "count")


@dataclass(frozen=True)
class DetectionMap:
    """Average precisions in percent."""

    iou_thresholds: np.ndarray  # (H,)
    classes: list[str]  # (C,) the classes that have annotations
    per_class: np.ndarray  # (C, H) average precision; 0 for a class without predictions
    ignored_videos: int  # videos with predictions, but without ground truth, left out
    unknown_videos: str = "ignore"  # what was done with those: "ignore" or "count"
    counted_videos: int = 0  # such videos whose predictions counted as false positives
    # Predictions of each class that the ground truth does not have; they count nowhere.
    unknown_classes: dict[str, int] = field(default_factory=dict)

    @property
    def map(self) -> np.ndarray:
        """(H,) mean over classes."""
        return self.per_class.mean(axis=0)

    @property
    def average_map(self) -> float:
        """Mean over thresholds."""
        return float(self.map.mean())


def detection_map(
    predictions: Source,
    ground_truth: Source,
    iou_thresholds: Sequence[float] | str = "0.1:0.1:0.7",
    protocol: str = "activitynet",
    *,
    subset: str | None = None,
    ambiguous: str | Path | None = None,
    unknown_videos: str = "ignore",
    classes: Collection[str] | None = None,
    label_map: Mapping[str, str] | None = None,
) -> DetectionMap:
    """Mean average precision of predicted segments at one or more tIoU thresholds.

    "activitynet" (ANETdetection): seconds, real-valued IoU; by descending score, each prediction
    is matched to the instance of highest IoU that is still free; interpolated AP.

    "thumos" (W-TALC): ground truth in snippets, rounded, predictions truncated, IoU over sets of
    snippets; each prediction is matched to the best instance still free; AP is the area under the
    monotone precision envelope. A class without predictions has AP 0, and two empty intervals IoU
    0, where the release returns 0 for all and divides by zero.

    Args:
        predictions, ground_truth: parsed ActivityNet-style JSON, or a path to it (also gzip);
            see gaufuse_ext/annotations.py.
        iou_thresholds: in (0, 1]; or "first:step:last", which become the numbers that the
            protocol's own scripts use (`threshold_range`).
        subset: use the ground truth of this subset only.
        ambiguous: path of THUMOS14's Ambiguous_test.txt; predictions that overlap one of its
            intervals are dropped ("thumos" only).
        unknown_videos: what predictions in videos without ground truth are: left out ("ignore"), or
            false positives ("count"), as in the official ActivityNet evaluation.
        classes: that predictions may have, besides those of the ground truth; others are counted
            in `DetectionMap.unknown_classes`.
        label_map: names by class id (as text), for labels that are ids; see
            `gaufuse_ext.class_names.load_label_map`.

    Raises:
        FileNotFoundError, ValueError: an unreadable or malformed source, an unknown protocol or
            subset, thresholds outside (0, 1]; predictions none of whose classes, or none of whose
            videos, the ground truth has.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be activitynet or thumos, got {protocol!r}")
    if unknown_videos not in UNKNOWN_VIDEOS:
        raise ValueError(f"unknown_videos must be ignore or count, got {unknown_videos!r}")
    thresholds = _check_thresholds(iou_thresholds, protocol)
    if ambiguous is not None and protocol != "thumos":
        raise ValueError("ambiguous intervals belong to the thumos protocol only")
    truth = load_ground_truth(ground_truth)
    found = load_predictions(predictions)
    if label_map is not None:
        found = with_names(found, label_map, all_of="predictions")
        truth = with_names(truth, label_map)
    # Of all subsets: a model may find classes that the subset happens not to show.
    known = {label for video in truth.values() for label in video.labels} | set(classes or ())
    if subset is not None:
        truth = choose_subset(truth, subset)
    labels = sorted({label for video in truth.values() for label in video.labels})
    if not labels:
        raise ValueError("the ground truth has no annotation")
    check_videos_in_common(found, truth)
    strangers = unknown_classes(found, known)
    without_truth = sum(video not in truth for video in found)
    if unknown_videos == "ignore":
        found = {video: found[video] for video in found if video in truth}
    if protocol == "thumos":
        found = {video: _in_snippets(found[video], np.trunc) for video in found}
        truth = {video: _in_snippets(truth[video], np.round) for video in truth}
        if ambiguous is not None:
            found = _drop_ambiguous(found, _read_ambiguous(ambiguous, truth))

    truth_by_class = _by_class(truth)
    found_by_class = _by_class(found)
    per_class = np.zeros((len(labels), len(thresholds)))
    for row, label in zip(per_class, labels, strict=True):
        row[:] = _average_precision(
            found_by_class.get(label, {}), truth_by_class[label], thresholds
        )
    counted = without_truth if unknown_videos == "count" else 0
    return DetectionMap(
        thresholds,
        labels,
        100.0 * per_class,
        without_truth - counted,
        unknown_videos,
        counted,
        strangers,
    )


def _check_thresholds(values: Sequence[float] | str, protocol: str) -> np.ndarray:
    try:
        numbers = parse_thresholds(values, protocol) if isinstance(values, str) else values
        thresholds = np.atleast_1d(np.asarray(numbers, dtype=np.float64))
    except (TypeError, ValueError):
        thresholds = np.array([])
    # numpy.arange ends 0.5:0.05:1 a little above 1, which no IoU reaches: AP 0, as in its scripts.
    inside = (thresholds > 0) & (thresholds <= 1 + 1e-9)
    if thresholds.ndim != 1 or not len(thresholds) or not inside.all():
        raise ValueError(f"iou_thresholds must lie in (0, 1], got {values!r}")
    return thresholds


VideoSegments = dict[str, tuple[np.ndarray, np.ndarray]]  # video -> segments (N, 2), scores (N,)


def _by_class(videos: dict[str, Segments]) -> dict[str, VideoSegments]:
    table: dict[str, VideoSegments] = {}
    for video, entry in videos.items():
        labels = np.array(entry.labels, dtype=object)
        for label in dict.fromkeys(entry.labels):
            chosen = labels == label
            table.setdefault(label, {})[video] = (entry.segments[chosen], entry.scores[chosen])
    return table


def _average_precision(
    found: VideoSegments, truth: VideoSegments, thresholds: np.ndarray
) -> np.ndarray:
    """(H,) average precision of one class."""
    total = sum(len(segments) for segments, _ in truth.values())
    scores, hits = [], []
    for video, (segments, video_scores) in found.items():
        order = np.argsort(-video_scores, kind="stable")
        scores.append(video_scores[order])
        instances = truth[video][0] if video in truth else np.empty((0, 2))
        hits.append(_match(segment_iou(segments[order], instances), thresholds))
    if not scores:
        return np.zeros(len(thresholds))
    # Matching only concerns one video at a time; the ranking is over all of them.
    order = np.argsort(-np.concatenate(scores), kind="stable")
    true_positives = np.cumsum(np.concatenate(hits)[order], axis=0)  # (N, H)
    precision = true_positives / np.arange(1, len(order) + 1)[:, None]
    recall = true_positives / total
    return _envelope_area(precision, recall)


def _match(iou: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(N, H) bool: does prediction n, in the order of rank, find a free instance at threshold h?"""
    hits = np.zeros((len(iou), len(thresholds)), dtype=bool)
    if iou.shape[1] == 0:
        return hits
    preference = np.argsort(-iou, axis=1, kind="stable")
    for h, threshold in enumerate(thresholds):
        free = np.ones(iou.shape[1], dtype=bool)
        for n in np.flatnonzero(iou.max(axis=1) >= threshold):
            for instance in preference[n]:
                if iou[n, instance] < threshold:
                    break
                if free[instance]:
                    free[instance] = False
                    hits[n, h] = True
                    break
    return hits


def _envelope_area(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Area under the monotone envelope of precision over recall, both (N, H), by column."""
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    steps = np.diff(recall, axis=0, prepend=0.0)
    return (envelope * steps).sum(axis=0)


def _snippets(seconds: np.ndarray) -> np.ndarray:
    """THUMOS14: 16 frames a snippet at 25 frames per second."""
    return seconds * 25.0 / 16.0


def _in_snippets(entry: Segments, to_integer) -> Segments:
    snippets = to_integer(_snippets(entry.segments))
    return Segments(snippets, entry.labels, entry.scores)


def _read_ambiguous(path: str | Path, truth: Collection[str]) -> dict[str, np.ndarray]:
    """Lines "video  start end" in seconds -> intervals (M, 2) in snippets by video.

    Raises:
        FileNotFoundError, ValueError: a line that is none, or no video of the ground truth in it.
    """
    intervals: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            start, end = float(fields[-2]), float(fields[-1])
        except (IndexError, ValueError):
            start = end = np.nan
        if len(fields) != 3 or not -np.inf < start <= end < np.inf:
            raise ValueError(f"{path}, line {number}: expected 'video start end', got {line!r}")
        intervals.setdefault(fields[0], []).append((start, end))
    if intervals and not any(video in truth for video in intervals):
        raise ValueError(
            f"no video of {path} is in the ground truth: it has {few(intervals)}, the ground truth "
            f"has {few(truth)}"
        )
    return {video: np.round(_snippets(np.array(pairs))) for video, pairs in intervals.items()}


def _drop_ambiguous(
    found: dict[str, Segments], ambiguous: dict[str, np.ndarray]
) -> dict[str, Segments]:
    kept = {}
    for video, entry in found.items():
        clear = np.ones(len(entry.labels), dtype=bool)
        if video in ambiguous:
            clear = ~(segment_iou(entry.segments, ambiguous[video]) > 0).any(axis=1)
        labels = [label for label, keep in zip(entry.labels, clear, strict=True) if keep]
        kept[video] = Segments(entry.segments[clear], labels, entry.scores[clear])
    return kept
