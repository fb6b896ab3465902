"""From a model's outputs to instances: activations, proposals, fusion (method section 3).

One path for both uses: pseudo labels are made from the same boundaries that are tested.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

import gaufuse_ext as gx
from gaufuse.config import PostprocessConfig
from gaufuse.data.dataset import Batch
from gaufuse.model.class_activations import class_activations
from gaufuse.model.losses import top_mean
from gaufuse.model.rskp import Branch, Outputs


@dataclass(frozen=True)
class ActivationGroups:
    """Activation sequences worth looking at: one group is one class of one video."""

    video: torch.Tensor  # (G,) row of the batch
    label: torch.Tensor  # (G,) class
    score: torch.Tensor  # (G,) video score of the class
    activations: torch.Tensor  # (G, T)
    lengths: torch.Tensor  # (G,)


def video_scores(
    outputs: Outputs, mask: torch.Tensor, top_fraction: float, config: PostprocessConfig
) -> torch.Tensor:
    """(B, C) how sure the model is that a video shows a class."""

    def score(branch: Branch) -> torch.Tensor:
        if config.cas == "attention_softmax":
            return branch.video.exp()[..., :-1]
        return torch.sigmoid(top_mean(branch.scores[..., :-1], mask, top_fraction))

    share = config.video_share
    return share * score(outputs.original) + (1.0 - share) * score(outputs.reallocated)


def select_groups(
    activations: torch.Tensor,
    scores: torch.Tensor,
    lengths: torch.Tensor,
    labels: torch.Tensor | None,
    config: PostprocessConfig,
) -> ActivationGroups:
    """The classes to look for: those of the video's labels (B, C), or those that score enough."""
    if config.classes == "known":
        if labels is None:
            raise ValueError('classes = "known" needs the labels of the videos')
        wanted = labels > 0
    else:
        wanted = scores >= config.class_threshold
    video, label = wanted.nonzero(as_tuple=True)
    return ActivationGroups(
        video=video,
        label=label,
        score=scores[video, label],
        activations=activations[video, :, label],
        lengths=lengths[video],
    )


def groups_of(
    outputs: Outputs, batch: Batch, config: PostprocessConfig, top_fraction: float
) -> ActivationGroups:
    """The classes to look for in a batch and their activations, from the model's outputs."""
    return select_groups(
        class_activations(outputs, config),
        video_scores(outputs, batch.mask, top_fraction, config),
        batch.lengths,
        batch.labels,
        config,
    )


def find_proposals(groups: ActivationGroups, config: PostprocessConfig) -> gx.Proposals:
    """Proposals of each group at all thresholds, before their fusion."""
    return gx.threshold_proposals(
        groups.activations,
        _thresholds(groups, config),
        groups.lengths,
        min_length=config.min_length,
        margin=config.margin,
        margin_power=config.margin_power,
    )


def find_instances(
    groups: ActivationGroups, config: PostprocessConfig, temperature: float
) -> gx.FusedSegments:
    """Instances of each group, boundaries in snippets; the video score is not in their scores."""
    proposals = find_proposals(groups, config)
    if config.fusion == "nms":
        return _best_of_overlapping(proposals, config.fusion_threshold)
    return gx.fuse_segments(
        proposals.segments,
        proposals.scores,
        proposals.weights if config.fusion_weights == "inner" else proposals.scores,
        proposals.counts,
        temperature=temperature,
        threshold=config.fusion_threshold,
        overlap=config.fusion_overlap,
        length_offset=config.fusion_length_offset,
    )


def _best_of_overlapping(proposals: gx.Proposals, threshold: float) -> gx.FusedSegments:
    """Non-maximum suppression, as fused segments of one member each."""
    keep = gx.nms(proposals.segments, proposals.scores, threshold, proposals.counts)
    kept, rows = keep >= 0, keep.clamp(min=0)
    capacity = keep.shape[1]
    ranks = torch.arange(capacity, device=keep.device).expand_as(keep)
    # Padding is written past the end, which is cut off.
    places = torch.where(kept, rows, capacity)
    unassigned = keep.new_full((len(keep), capacity + 1), -1)
    assignment = unassigned.scatter(1, places, ranks)[:, :capacity]
    return gx.FusedSegments(
        proposals.segments.gather(1, rows.unsqueeze(-1).expand(-1, -1, 2)) * kept.unsqueeze(-1),
        proposals.scores.gather(1, rows) * kept,
        kept.sum(1),
        assignment,
        (assignment >= 0).to(proposals.scores),
    )


def _thresholds(groups: ActivationGroups, config: PostprocessConfig) -> torch.Tensor:
    steps = torch.tensor(gx.threshold_range(*config.thresholds, "thumos"), dtype=torch.float64)
    if config.threshold_kind == "absolute":
        return steps
    activations = groups.activations
    inside = gx.valid_mask(groups.lengths, activations.shape[1])
    lowest = activations.masked_fill(~inside, torch.inf).amin(1, keepdim=True).double()
    highest = activations.masked_fill(~inside, -torch.inf).amax(1, keepdim=True).double()
    return lowest + (highest - lowest) * steps.to(activations.device)
