"""The whole analysis of one model, and of two, as one value that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from gaufuse.analysis.calibration import Calibration, calibration
from gaufuse.analysis.comparison import Comparison, compare
from gaufuse.analysis.confusion_matrix import confusion_matrix
from gaufuse.analysis.error_gains import Gains, error_gains
from gaufuse.analysis.error_types import KINDS, error_types, profile, shares
from gaufuse.analysis.instance_groups import Characteristic, characteristics
from gaufuse.analysis.matched_detections import MatchedDetections, match
from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.array_types import Array
from gaufuse_ext.evaluation.average_precision import average_precision
from gaufuse_ext.flat_segments import FlatSegments

DEFAULT_TIOU = 0.5
MOST_K = 10


@dataclass(frozen=True)
class Settings:
    """At which tIoU what is counted."""

    iou_thresholds: tuple[float, ...]
    tiou: float = DEFAULT_TIOU  # of error types, misses, confusion and calibration
    protocol: str = "activitynet"


@dataclass(frozen=True)
class Analysis:
    """All mAP in percent; counts are of detections, unless they say instances."""

    settings: Settings
    videos: int
    instances: int
    detections: int
    left_out: dict[str, int]  # videos without ground truth; detections of unknown classes
    map: list[float]  # per threshold
    average_map: float
    per_class: dict[str, float]  # mean over thresholds
    kinds: tuple[str, ...]
    profile: list[list[int]]  # [k - 1][kind]: among the top k * G
    gains: Gains
    missed: float  # percent of the instances that no detection finds at settings.tiou
    characteristics: list[Characteristic]
    classes: list[str]
    confusion: list[list[int]]  # docs/analysis.md; one more row and column than classes
    calibration: Calibration | None  # None: scores are not in [0, 1]

    def shares(self) -> Array:
        """(k, kinds) of the profile."""
        return shares(np.array(self.profile))

    def to_dict(self) -> dict[str, object]:
        """What JSON can hold."""
        return asdict(self)


def analyse(
    found: FlatSegments,
    truth: Mapping[str, VideoAnnotation],
    iou_thresholds: Sequence[float] | Array,
    tiou: float = DEFAULT_TIOU,
    edges: Mapping[str, Sequence[float]] | None = None,
    *,
    protocol: str = "activitynet",
) -> Analysis:
    """
    Args:
        found: detections with names of videos and classes, as `load_flat_predictions` has them.
        truth: annotations by video, in seconds.
        iou_thresholds: of mAP and gains.
        tiou: of error types, misses, confusion and calibration.
        edges: of "length", "coverage" and "number", where groups of instances end.
        protocol: of mAP, its matching and all tIoU, as `gaufuse_ext.detection_map` has it.

    Raises:
        ValueError: nothing in common; a threshold outside (0, 1]; an unknown protocol.
    """
    return analyse_matched(_matched(found, truth, iou_thresholds, protocol), truth, tiou, edges)


def analyse_two(
    first: FlatSegments,
    second: FlatSegments,
    truth: Mapping[str, VideoAnnotation],
    iou_thresholds: Sequence[float] | Array,
    tiou: float = DEFAULT_TIOU,
    edges: Mapping[str, Sequence[float]] | None = None,
    *,
    protocol: str = "activitynet",
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Analysis, Analysis, Comparison]:
    """Each model's analysis, and the second less the first, shares among the top G.

    Raises:
        ValueError: as `analyse`.
    """
    one, two = (_matched(found, truth, iou_thresholds, protocol) for found in (first, second))
    own, other = (analyse_matched(matched, truth, tiou, edges) for matched in (one, two))
    comparison = compare(
        one,
        two,
        error_types(one.at(tiou)),
        error_types(two.at(tiou)),
        resamples=resamples,
        seed=seed,
    )
    return own, other, comparison


def _matched(
    found: FlatSegments,
    truth: Mapping[str, VideoAnnotation],
    iou_thresholds: Sequence[float] | Array,
    protocol: str,
) -> MatchedDetections:
    thresholds = np.asarray(iou_thresholds, dtype=np.float64)
    _check_inside("iou_thresholds", thresholds)
    return match(found, truth, thresholds, protocol)


def _check_inside(name: str, values: Array) -> None:
    if not len(values) or not ((values > 0.0) & (values <= 1.0 + 1e-9)).all():
        raise ValueError(f"{name} must lie in (0, 1], got {values.tolist()}")


def analyse_matched(
    matched: MatchedDetections,
    truth: Mapping[str, VideoAnnotation],
    tiou: float = DEFAULT_TIOU,
    edges: Mapping[str, Sequence[float]] | None = None,
) -> Analysis:
    """`analyse` of detections that were matched already, to the instances of `truth`.

    Raises:
        ValueError: a tIoU outside (0, 1].
    """
    _check_inside("tiou", np.array([tiou]))
    at_one = matched.at(tiou)
    kinds = error_types(at_one)
    missed = at_one.matches.found_by[:, 0] < 0
    precision = 100.0 * average_precision(matched.matches, matched.instances)
    classes = matched.instances.classes
    return Analysis(
        settings=Settings(tuple(matched.thresholds.tolist()), tiou, matched.protocol),
        videos=len(matched.instances.videos),
        instances=len(matched.instances),
        detections=len(matched.detections),
        left_out={
            "videos without ground truth": matched.common.videos_without_truth,
            "detections of unknown classes": sum(matched.common.unknown_classes.values()),
        },
        map=precision.mean(axis=0).tolist(),
        average_map=float(precision.mean()),
        per_class=dict(zip(classes, precision.mean(axis=1).tolist(), strict=True)),
        kinds=KINDS,
        profile=profile(at_one, kinds, MOST_K).tolist(),
        gains=error_gains(matched),
        missed=100.0 * float(missed.mean()),
        characteristics=characteristics(matched, truth, missed, edges or {}),
        classes=list(classes),
        confusion=confusion_matrix(at_one).tolist(),
        calibration=calibration(matched.detections.scores, kinds == 0),
    )
