"""How good a model is: detection mAP, classification mAP, and which videos choose the epoch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import gaufuse_ext as gx
from gaufuse.config import Config, EvaluationConfig, SelectionConfig
from gaufuse.data.dataset import VideoSubset
from gaufuse.localization.detect import Detections, detect, score_videos
from gaufuse.model.fused_models import Localizer
from gaufuse.utils.distributed import World


@dataclass(frozen=True)
class DetectionScore:
    """Detection mAP of one subset."""

    map: list[float]  # percent, per tIoU threshold
    average_map: float


def is_annotated(subset: VideoSubset) -> bool:
    """Whether there is anything to evaluate detections on."""
    return any(entry.labels for entry in subset.annotations.values())


def iou_thresholds(evaluation: EvaluationConfig) -> tuple[float, ...]:
    """To the last bit as the protocol has them."""
    return gx.threshold_range(*evaluation.iou_thresholds, evaluation.protocol)


def detection_score(detections: Detections, subset: VideoSubset, config: Config) -> DetectionScore:
    """By the configuration's protocol and thresholds, with the release's quirk where that is on."""
    evaluation = config.evaluation
    result = gx.detection_map(
        {"results": detections},
        {"database": subset.annotations},
        iou_thresholds(evaluation),
        evaluation.protocol,
        classes=subset.info.classes,
    )
    if config.release_quirks.no_map_without_all_classes and not _all_classes(detections, subset):
        return DetectionScore([0.0] * len(result.map), 0.0)
    return DetectionScore(result.map.tolist(), result.average_map)


def _all_classes(detections: Detections, subset: VideoSubset) -> bool:
    """Whether every annotated class has a detection in some video."""
    annotated = {label for entry in subset.annotations.values() for label in entry.labels}
    return annotated <= {entry["label"] for video in detections.values() for entry in video}


def validation_score(
    model: Localizer,
    subset: VideoSubset,
    config: Config,
    device: torch.device,
    world: World | None = None,
) -> float:
    """What an epoch is chosen by, in percent: average detection mAP, or classification mAP where
    the videos have labels but no segments (or the configuration wants it)."""
    if selection_metric(config.selection, subset) == "detection":
        detections = detect(model, subset, config, device, world)
        return detection_score(detections, subset, config).average_map
    return classification_map(score_videos(model, subset, config, device, world), subset.labels)


def selection_metric(selection: SelectionConfig, subset: VideoSubset) -> str:
    """ "detection" or "classification": what `validation_score` measures on the subset."""
    if selection.metric != "auto":
        return selection.metric
    segments = [entry.segments for entry in subset.annotations.values()]
    annotated = all(len(own) and (own[:, 1] > own[:, 0]).all() for own in segments)
    return "detection" if annotated else "classification"


def classification_map(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean over the classes that occur of the average precision of videos ranked by score, in
    percent (method section 6). scores, labels: (V, C); ties keep the order of the videos."""
    return gx.classification_map(scores, labels).map


def split_off(subset: VideoSubset, selection: SelectionConfig) -> tuple[VideoSubset, VideoSubset]:
    """Training videos to learn from, and a share of them to choose the epoch by: drawn from the
    selection's seed, never the last video of a class.

    Raises:
        ValueError: no video can be spared.
    """
    generator = torch.Generator().manual_seed(selection.seed)
    left = subset.labels.sum(0)
    wanted = max(1, round(selection.fraction * len(subset)))
    chosen: list[int] = []
    for video in torch.randperm(len(subset), generator=generator).tolist():
        if len(chosen) < wanted and bool((left - subset.labels[video] > 0)[left > 0].all()):
            left = left - subset.labels[video]
            chosen.append(video)
    if not chosen:
        raise ValueError(
            'selection.by = "validation": every training video is the only one of a class, none '
            'can be held out; use selection.by = "last"'
        )
    held_out = set(chosen)
    kept = [video for video in range(len(subset)) if video not in held_out]
    return subset.select(kept), subset.select(sorted(chosen))
