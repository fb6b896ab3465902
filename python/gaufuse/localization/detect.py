"""Detections of a trained model on a subset, as ActivityNet-style predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import torch
from rich.console import Console
from rich.progress import track

import gaufuse_ext as gx
from gaufuse.config import Config, PostprocessConfig
from gaufuse.data.dataset import VideoSubset
from gaufuse.localization.instances import ActivationGroups, find_instances, groups_of, video_scores
from gaufuse.model.fused_models import Localizer
from gaufuse.utils.distributed import World


class Detection(TypedDict):
    """One entry of ActivityNet-style predictions."""

    segment: list[float]  # start and end in seconds
    label: str
    score: float


Detections = dict[str, list[Detection]]  # by video


def detect(
    model: Localizer,
    subset: VideoSubset,
    config: Config,
    device: torch.device,
    world: World | None = None,
    console: Console | None = None,
) -> Detections:
    """{video: [{"segment": [start, end] in seconds, "label", "score"}]}, by descending score; each
    process of the world looks at a share of the videos and has the detections of all.

    Stored segments end one snippet past the run, as the release's do, and are clipped to the video.
    """
    world = world or World()
    own = subset.select(world.share(range(len(subset))))
    parts = world.gather(_detect(model, own, config, device, console))
    return {video: detections for part in parts for video, detections in part.items()}


@torch.no_grad()
def _detect(
    model: Localizer,
    subset: VideoSubset,
    config: Config,
    device: torch.device,
    console: Console | None,
) -> Detections:
    was_training = model.training
    model.eval()
    testing = config.testing
    results: Detections = {}
    batches = track(
        subset.batches(config.data.batch_size),
        "detecting",
        total=math.ceil(len(subset) / config.data.batch_size),
        console=console,
        transient=True,
        disable=console is None or not console.is_terminal,
    )
    for batch in batches:
        batch = batch.to(device)
        outputs = model(batch.features, batch.mask, lengths=batch.sizes, classwise=False)
        groups = groups_of(outputs, batch, testing, config.loss.top_fraction)
        names = [subset.names[video] for video in batch.videos]
        seconds = [subset.snippet_seconds[video] for video in batch.videos]
        results |= detections_of(groups, names, seconds, subset.info.classes, testing)
    model.train(was_training)
    return results


def detections_of(
    groups: ActivationGroups,
    names: Sequence[str],
    snippet_seconds: Sequence[float],
    classes: Sequence[str],
    config: PostprocessConfig,
) -> Detections:
    """Detections of a batch of videos, by descending score.

    Args:
        groups: the classes to look for and their activations; see `select_groups`.
        names, snippet_seconds: of each video of the batch.
        classes: names, by number.
        config: section [testing].
    """
    fused = find_instances(groups, config, config.temperature[-1])
    scores = fused.scores + config.video_score_weight * groups.score.unsqueeze(1)
    last = groups.lengths[:, None, None].to(fused.segments)
    device = groups.activations.device
    seconds = torch.tensor(snippet_seconds, dtype=torch.float64, device=device)
    seconds = seconds[groups.video, None, None]
    # In float64: whole snippets must stay whole where an evaluation truncates to snippets.
    segments = torch.minimum(fused.segments, last).double() * seconds
    # Cut to what there is on the device: one copy, and no lists of padding.
    valid = gx.valid_mask(fused.counts, scores.shape[1])
    group = valid.nonzero()[:, 0]
    columns = groups.video[group], groups.label[group], segments[valid], scores[valid]
    rows = torch.column_stack([column.double() for column in columns])
    results: Detections = {name: [] for name in names}
    for video, label, start, end, score in rows.tolist():
        results[names[int(video)]].append(
            {"segment": [start, end], "label": classes[int(label)], "score": score}
        )
    for detections in results.values():
        detections.sort(key=lambda detection: -detection["score"])
    return results


@torch.no_grad()
def score_videos(
    model: Localizer,
    subset: VideoSubset,
    config: Config,
    device: torch.device,
    world: World | None = None,
) -> torch.Tensor:
    """(V, C) video scores on the CPU: how sure the model is that a video shows a class."""
    world = world or World()
    was_training = model.training
    model.eval()
    own = subset.select(world.share(range(len(subset))))
    scores = [torch.zeros(0, subset.labels.shape[1])]
    for batch in own.batches(config.data.batch_size):
        batch = batch.to(device)
        outputs = model(batch.features, batch.mask, lengths=batch.sizes, classwise=False)
        top = config.loss.top_fraction
        scores.append(video_scores(outputs, batch.mask, top, config.testing).cpu())
    model.train(was_training)
    return torch.cat(world.gather(torch.cat(scores)))
