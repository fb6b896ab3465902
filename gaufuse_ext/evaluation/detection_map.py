"""Mean average precision of temporal detections (method section 6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gaufuse_ext import _checks
from gaufuse_ext.annotations import Source, choose_subset, load_ground_truth
from gaufuse_ext.class_names import (
    check_videos_in_common,
    few,
    names_of,
    unknown_of_counts,
    with_names,
)
from gaufuse_ext.evaluation.ambiguous import read_ambiguous
from gaufuse_ext.evaluation.average_precision import (
    PrecisionRecall,
    average_precision,
    precision_recall,
)
from gaufuse_ext.evaluation.bootstrap import BootstrapMap, bootstrap_map
from gaufuse_ext.evaluation.match_detections import NO_SEGMENTS, match_detections
from gaufuse_ext.evaluation.repeated_detections import repeated_detections
from gaufuse_ext.flat_predictions import load_flat_predictions
from gaufuse_ext.flat_segments import FlatSegments
from gaufuse_ext.thresholds import PROTOCOLS, parse_thresholds

UNKNOWN_VIDEOS = ("ignore", "count")
UNKNOWN_LABELS = ("ignore", "error")
DUPLICATES = ("keep", "drop", "error")


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
    duplicates: int = 0  # detections that repeat an earlier one in everything
    duplicates_were: str = "keep"  # what was done with those: "keep" or "drop"
    curves: list[PrecisionRecall] | None = None  # (C,) where asked for
    bootstrap: BootstrapMap | None = None  # where asked for

    @property
    def map(self) -> np.ndarray:
        """(H,) mean over classes."""
        values: np.ndarray = self.per_class.mean(axis=0)
        return values

    @property
    def average_map(self) -> float:
        """Mean over thresholds."""
        return float(self.map.mean())


def detection_map(
    predictions: Source | FlatSegments,
    ground_truth: Source | FlatSegments,
    iou_thresholds: Sequence[float] | str = "0.1:0.1:0.7",
    protocol: str = "activitynet",
    *,
    subset: str | None = None,
    ambiguous: str | Path | None = None,
    unknown_videos: str = "ignore",
    unknown_labels: str = "ignore",
    duplicates: str = "keep",
    classes: Collection[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    curves: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
) -> DetectionMap:
    """Mean average precision of predicted segments at one or more tIoU thresholds.

    "activitynet" (ANETdetection): seconds, real-valued IoU; by descending score, each prediction
    is matched to the instance of highest IoU that is still free; interpolated AP.

    "thumos" (W-TALC): ground truth in snippets, rounded, predictions truncated, IoU over sets of
    snippets; each prediction is matched to the best instance still free; AP is the area under the
    monotone precision envelope. A class without predictions has AP 0, and two empty intervals IoU
    0, where the release returns 0 for all and divides by zero.

    Args:
        predictions, ground_truth: parsed ActivityNet-style JSON, or a path to it (also gzip),
            see gaufuse_ext/annotations.py; or flat arrays or tensors, see `FlatSegments`.
        iou_thresholds: in (0, 1]; or "first:step:last", which become the numbers that the
            protocol's own scripts use (`threshold_range`).
        subset: use the ground truth of this subset only.
        ambiguous: path of THUMOS14's Ambiguous_test.txt; predictions that overlap one of its
            intervals are dropped ("thumos" only).
        unknown_videos: what predictions in videos without ground truth are: left out ("ignore"), or
            false positives ("count"), as in the official ActivityNet evaluation.
        classes: that predictions may have, besides those of the ground truth; others are counted
            in `DetectionMap.unknown_classes`.
        unknown_labels: what predictions of other classes than those are: counted and left out
            ("ignore"), or an error ("error").
        duplicates: what detections are whose video, class, boundaries and score are all those of an
            earlier one: detections like others ("keep"), left out ("drop"), or an error ("error").
            They are counted in any case.
        curves: keep each class's precision and recall by rank, in `DetectionMap.curves`.
        bootstrap: as many times draw videos anew, with replacement, for `DetectionMap.bootstrap`;
            0: do not.
        seed: of those draws.
        label_map: names by class id (as text), for labels that are ids; see
            `gaufuse_ext.class_names.load_label_map`.

    Raises:
        FileNotFoundError, ValueError: an unreadable or malformed source, an unknown protocol,
            subset or policy, thresholds outside (0, 1]; predictions none of whose classes, or none
            of whose videos, the ground truth has.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be activitynet or thumos, got {protocol!r}")
    if unknown_videos not in UNKNOWN_VIDEOS:
        raise ValueError(f"unknown_videos must be ignore or count, got {unknown_videos!r}")
    _checks.check_choice("unknown_labels", unknown_labels, UNKNOWN_LABELS)
    _checks.check_choice("duplicates", duplicates, DUPLICATES)
    thresholds = check_thresholds(iou_thresholds, protocol)
    if ambiguous is not None and protocol != "thumos":
        raise ValueError("ambiguous intervals belong to the thumos protocol only")
    truth, known = _annotated(ground_truth, subset, label_map)
    found = _predicted(predictions, ground_truth, label_map)
    labels = sorted(truth.counts_by_class())
    if not labels:
        raise ValueError("the ground truth has no annotation")
    (found_videos, found_classes), (true_videos, true_classes) = found.names, truth.names
    check_videos_in_common(found_videos, true_videos)
    strangers = unknown_of_counts(found.counts_by_class(), known | set(classes or ()))
    if strangers and unknown_labels == "error":
        raise ValueError(
            f"predictions have classes that the ground truth does not have: {few(strangers)} "
            '(unknown_labels="ignore" leaves them out)'
        )
    repeated = repeated_detections(found)
    num_duplicates = int(np.count_nonzero(repeated))
    if num_duplicates and duplicates == "error":
        i = int(np.argmax(repeated))
        raise ValueError(
            f"predictions have {num_duplicates} duplicates, the first in video "
            f"{found_videos[found.video_ids[i]]!r}: {found.segments[i].tolist()}, "
            f"{found.given_scores[i]} "
            '(duplicates="drop" leaves them out, "keep" counts them)'
        )

    # From here on ids of both sides mean the same.
    video_of = {video: i for i, video in enumerate(true_videos)}
    videos = _places(found_videos, video_of)
    strange = videos < 0
    without_truth = int(np.count_nonzero(strange))
    videos[strange] = len(video_of) + np.arange(without_truth)
    class_of = {label: c for c, label in enumerate(labels)}
    class_ids = _places(found_classes, class_of)[found.class_ids]
    if without_truth and unknown_videos == "ignore":
        class_ids[strange[found.video_ids]] = -1
        videos[strange] = 0
    if num_duplicates and duplicates == "drop":
        class_ids[repeated] = -1
    own_classes = _places(true_classes, class_of)[truth.class_ids]
    instances = FlatSegments(truth.segments, truth.video_ids, own_classes)
    found = found.with_videos(videos[found.video_ids])
    doubtful = NO_SEGMENTS if ambiguous is None else read_ambiguous(ambiguous, video_of)

    matches = match_detections(
        found, instances, thresholds, protocol, class_ids=class_ids, ambiguous=doubtful
    )
    counted = without_truth if unknown_videos == "count" else 0
    return DetectionMap(
        thresholds,
        labels,
        100.0 * average_precision(matches, instances),
        without_truth - counted,
        unknown_videos,
        counted,
        strangers,
        num_duplicates,
        duplicates,
        precision_recall(matches, found, instances) if curves else None,
        bootstrap_map(matches, found, instances, len(video_of), bootstrap, seed)
        if bootstrap
        else None,
    )


def check_thresholds(values: Sequence[float] | str, protocol: str) -> np.ndarray:
    """(H,) as numbers.

    Raises:
        ValueError: none, or not in (0, 1].
    """
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


def _annotated(
    source: Source | FlatSegments, subset: str | None, label_map: Mapping[str, str] | None
) -> tuple[FlatSegments, set[str]]:
    """The ground truth, named, and all classes that it knows."""
    if isinstance(source, FlatSegments):
        if subset is not None:
            raise ValueError("flat ground truth has no subsets: leave subset out")
        flat = _renamed(source.named(), label_map)
        return flat, set(flat.counts_by_class())
    truth = load_ground_truth(source)
    if label_map is not None:
        truth = with_names(truth, label_map)
    # Of all subsets: a model may find classes that the subset happens not to show.
    known = {label for video in truth.values() for label in video.labels}
    if subset is not None:
        truth = choose_subset(truth, subset)
    return FlatSegments.from_videos(truth), known


def _predicted(
    source: Source | FlatSegments,
    ground_truth: Source | FlatSegments,
    label_map: Mapping[str, str] | None,
) -> FlatSegments:
    """The predictions, named."""
    if not isinstance(source, FlatSegments):
        return _renamed(load_flat_predictions(source), label_map, "predictions")
    if source.scores is None:
        raise ValueError("predictions have no scores")
    named = source.named()
    if isinstance(ground_truth, FlatSegments):
        named = source.named(ground_truth.videos, ground_truth.classes)
    return _renamed(named, label_map, "predictions")


def _renamed(
    flat: FlatSegments, label_map: Mapping[str, str] | None, all_of: str | None = None
) -> FlatSegments:
    if label_map is None:
        return flat
    _, classes = flat.names
    return flat.with_classes(names_of(classes, label_map, all_of))


def _places(names: Sequence[str], place_of: Mapping[str, int]) -> np.ndarray:
    """(K,) int32; -1: a name that is in no place."""
    return np.array([place_of.get(name, -1) for name in names], dtype=np.int32)
