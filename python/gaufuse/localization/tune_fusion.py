"""Settings of the fusion of detections, searched on annotated videos and cross-validated over them.

Each candidate fuses all videos once and is matched once; its mAP on any part of the videos follows
from that. What was chosen by these videos flatters itself on them, so each part is also processed
by what the other parts would have chosen, and all that is scored together: the held-out mAP.
Settings differ in the scale of their scores, so what different settings made is ranked together by
places: a score counts as how many detections of its class that setting scores higher in all videos.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gaufuse.localization.fusion import fuse_detections
from gaufuse.localization.fusion_settings import FusionSettings
from gaufuse.localization.pooled_detections import (
    CommonIds,
    NamedSegments,
    PooledDetections,
    join,
    select,
    with_common_ids,
)
from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.array_types import Array
from gaufuse_ext.evaluation.bootstrap import resampled_precision
from gaufuse_ext.evaluation.match_detections import match_detections

SUPPRESSED = {
    "sigma": (0.1, 0.2, 0.3, 0.5, 0.8),
    "voting": ("none", "score", "score_iou"),
    "voting_threshold": (0.6, 0.7, 0.8, 0.9),
}
# What a grid tries of each method, and random search draws from. Methods without soft-NMS at the
# end need no sigma, and so on: `_normal` makes one candidate of those that differ in nothing else.
SPACES: dict[str, dict[str, tuple[Any, ...]]] = {
    "nms": {"threshold": (0.3, 0.4, 0.5, 0.6, 0.7), **SUPPRESSED, "sigma": (0.5,)},
    "soft-nms": SUPPRESSED,
    "fusion": {
        "threshold": (0.4, 0.5, 0.6, 0.7, 0.8),
        "overlap": ("iou",),
        "temperature": (0.02, 0.05, 0.2),
        "then": ("nothing", "soft-nms"),
        "sigma": (0.2, 0.3, 0.5),
    },
    "weighted": {
        "threshold": (0.4, 0.55, 0.7, 0.8),
        "confidence": ("avg", "max"),
        "then": ("nothing", "soft-nms"),
        "sigma": (0.2, 0.3, 0.5),
    },
}
LOWEST_WEIGHT = 0.3  # of a model, beside 1 for the best


@dataclass(frozen=True)
class Trial:
    """One candidate: average mAP in percent."""

    settings: FusionSettings
    everywhere: float  # on all videos
    without: tuple[float, ...]  # on the videos outside each fold
    within: tuple[float, ...]  # on the videos of each fold


@dataclass(frozen=True)
class Tuned:
    """What a search found."""

    trials: list[Trial]  # the best on all videos first; ties: the earlier candidate
    by_fold: list[FusionSettings]  # what the other folds would have chosen
    held_out: float  # average mAP of all videos, each by what the others chose
    folds: Array  # (V,) each video's

    @property
    def best(self) -> Trial:
        """On all videos, which flatters it: see `held_out`."""
        return self.trials[0]


def grid(methods: Sequence[str], fixed: dict[str, Any]) -> list[FusionSettings]:
    """All combinations of `SPACES`, in its order; equal weights of models."""
    found: dict[FusionSettings, None] = {}
    for method in methods:
        space = SPACES[method]
        for values in itertools.product(*space.values()):
            found[_candidate(method, dict(zip(space, values, strict=True)), None, fixed)] = None
    return list(found)


def random_settings(
    methods: Sequence[str], models: int, fixed: dict[str, Any], count: int, seed: int
) -> list[FusionSettings]:
    """`count` different draws: a method, each of its settings, and weights of several models.

    Fewer where `SPACES` has no more.
    """
    generator = np.random.default_rng(seed)
    found: dict[FusionSettings, None] = {}
    for _ in range(50 * count):
        if len(found) == count:
            break
        method = methods[int(generator.integers(len(methods)))]
        chosen = {
            name: values[int(generator.integers(len(values)))]
            for name, values in SPACES[method].items()
        }
        weights = None
        if models > 1:
            drawn = generator.uniform(LOWEST_WEIGHT, 1.0, models)
            weights = tuple((drawn / drawn.max()).round(2).tolist())
        found[_candidate(method, chosen, weights, fixed)] = None
    return list(found)


def _candidate(
    method: str, chosen: dict[str, Any], weights: tuple[float, ...] | None, fixed: dict[str, Any]
) -> FusionSettings:
    chosen = {"method": method, **chosen, "model_weights": weights, **fixed}
    return FusionSettings(**_normal(chosen))


def _normal(chosen: dict[str, Any]) -> dict[str, Any]:
    """Without what does nothing, so that candidates that do the same are one."""
    idle = set()
    if chosen["method"] != "soft-nms" and chosen.get("then") != "soft-nms":
        idle |= {"sigma"}
    if chosen.get("voting", "none") == "none":
        idle |= {"voting", "voting_threshold"}
    if chosen.get("then") == "nothing":
        idle |= {"then"}
    return {name: v for name, v in chosen.items() if name not in idle and v is not None}


def tune(
    detections: PooledDetections,
    truth: dict[str, VideoAnnotation],
    candidates: Sequence[FusionSettings],
    iou_thresholds: Array,
    protocol: str = "activitynet",
    *,
    folds: int = 5,
    seed: int = 0,
    tell: Callable[[str], None] = lambda note: None,
) -> Tuned:
    """
    Args:
        candidates: at least one; the order decides between equals.
        folds: of the videos, drawn from `seed`; at least 2.
        tell: called after each candidate with a note for a progress line.

    Raises:
        ValueError: nothing in common with the ground truth, or fewer videos than folds.
    """
    fold_of = _folds(len(truth), folds, seed)
    inside = fold_of[:, None] == np.arange(folds)
    weights = np.concatenate([np.ones((len(truth), 1)), ~inside, inside], axis=1)
    weights = weights.astype(np.int32)
    trials = []
    for settings in candidates:
        common = with_common_ids(fuse_detections(detections, settings), truth)
        values = average_maps(common, weights, iou_thresholds, protocol).tolist()
        without, within = values[1 : folds + 1], values[folds + 1 :]
        trials.append(Trial(settings, values[0], tuple(without), tuple(within)))
        tell(f"best {max(trial.everywhere for trial in trials):.2f}")
    by_fold = []
    for without in zip(*(trial.without for trial in trials), strict=True):
        by_fold.append(trials[int(np.argmax(without))].settings)  # ties: the earlier candidate
    held_out = with_common_ids(held_out_detections(detections, truth, by_fold, fold_of), truth)
    held_out_map = average_maps(held_out, weights[:, :1], iou_thresholds, protocol)[0]
    ranked = sorted(trials, key=lambda trial: -trial.everywhere)
    return Tuned(ranked, by_fold, float(held_out_map), fold_of)


def _folds(videos: int, folds: int, seed: int) -> Array:
    """(V,) folds of as equal sizes as can be."""
    if not 2 <= folds <= videos:
        raise ValueError(f"folds must be 2 to {videos}, the number of videos, got {folds}")
    fold_of: Array = np.random.default_rng(seed).permutation(videos) % folds
    return fold_of


def average_maps(common: CommonIds, weights: Array, iou_thresholds: Array, protocol: str) -> Array:
    """(S,) average mAP in percent where each video counts `weights` (V, S) times, over the classes
    that have an instance there."""
    matches = match_detections(common.detections, common.instances, iou_thresholds, protocol)
    precision = resampled_precision(matches, common.detections, common.instances, weights)
    present = ~np.isnan(precision)
    total = np.where(present, precision, 0.0).sum(axis=0)
    maps: Array = 100.0 * (total / np.maximum(present.sum(axis=0), 1)).mean(axis=0)
    return maps


def places_in_class(found: NamedSegments) -> Array:
    """(N,) how many detections of the same class have a higher score."""
    places = np.empty(len(found))
    order = np.argsort(found.class_ids, kind="stable")
    ends = np.cumsum(np.bincount(found.class_ids, minlength=1))[:-1]
    for rows in np.split(order, ends):
        falling = -found.scores[rows]
        places[rows] = np.searchsorted(np.sort(falling), falling, side="left")
    return places


def held_out_detections(
    detections: PooledDetections,
    truth: dict[str, VideoAnnotation],
    by_fold: Sequence[FusionSettings],
    fold_of: Array,
) -> NamedSegments:
    """Each video's as its fold's settings have them, scored by places in class."""
    parts: list[NamedSegments] = []
    for settings in dict.fromkeys(by_fold):
        found = with_common_ids(fuse_detections(detections, settings), truth).detections
        found = replace(found, scores=-places_in_class(found))
        folds = [k for k, chosen in enumerate(by_fold) if chosen == settings]
        parts.append(select(found, np.isin(fold_of[found.video_ids], folds)))
    return join(parts)
