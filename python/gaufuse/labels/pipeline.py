"""From activations to snippet labels: one path, for training and for `gaufuse label`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import gaufuse_ext as gx
from gaufuse.config import Config, PostprocessConfig, load_config
from gaufuse.labels.pseudo_instances import pseudo_instances
from gaufuse.localization.instances import ActivationGroups, find_instances, select_groups


@dataclass(frozen=True)
class MadeLabels:
    """Labels of G groups, and what they were made of."""

    labels: torch.Tensor  # (G, T) in [0, 1]
    instances: torch.Tensor  # () how many there were
    residual: torch.Tensor  # () sum over instances of |mean label inside - confidence|
    relaxed: torch.Tensor  # () groups whose constraints were infeasible
    solved: gx.LinproLabels | None  # None without LinPro

    @property
    def status(self) -> list[str]:
        """(G,) how LinPro ended. Waits for the device."""
        if self.solved is None:
            return ["combined"] * len(self.labels)
        return [str(status) for status in self.solved.status]


@torch.no_grad()
def snippet_labels(
    activations: torch.Tensor,
    lengths: torch.Tensor,
    video_labels: torch.Tensor,
    config: Config | None = None,
    refresh: int = 0,
) -> torch.Tensor:
    """Pseudo labels of videos whose classes are known, from any model's activations: proposals,
    Gaussian fusion and LinPro (method sections 3 and 4).

    Args:
        activations: (B, T, C) class activation sequences in [0, 1]; float32 or float64.
        lengths: (B,) snippets of each video.
        video_labels: (B, C), positive where a video shows a class.
        config: sections [labels], [instances] and [linpro] are used; preset `general` by default.
        refresh: how often labels were made before; the temperature of the fusion falls with it.

    Returns:
        (B, T, C) in [0, 1]; zero at padding and for classes that a video does not show.
    """
    config = config or load_config("general")
    scores = torch.ones_like(video_labels, dtype=activations.dtype)
    groups = select_groups(activations, scores, lengths, video_labels, config.labels)
    labels = torch.zeros_like(activations)
    made = labels_of(groups, config, temperature_at(config.labels, refresh))
    labels[groups.video, :, groups.label] = made.labels
    return labels


def labels_of(groups: ActivationGroups, config: Config, temperature: float) -> MadeLabels:
    """Instances of each group by [labels], those of them and their confidences that [instances]
    wants, and the snippet labels that [linpro] makes of them.

    Args:
        temperature: of the fusion; see `temperature_at`.
    """
    fused = find_instances(groups, config.labels, temperature)
    segments, confidences, counts = pseudo_instances(fused, groups, config.instances)
    snippets = groups.activations.shape[1]
    solved = None
    if config.instances.combine == "linpro":
        solved = gx.linpro_labels(
            segments,
            confidences,
            snippets,
            counts,
            lengths=groups.lengths,
            **config.linpro.model_dump(),
        )
        labels, residual, relaxed = solved.labels, solved.residual.sum(), solved.relaxed.sum()
    else:
        labels = _combine(segments, confidences, counts, groups, config.instances.combine)
        residual = relaxed = labels.new_zeros(())
    labels = share_between_classes(labels, groups.video, config.instances.exclusive)
    return MadeLabels(labels, counts.sum(), residual, relaxed, solved)


def share_between_classes(labels: torch.Tensor, video: torch.Tensor, power: float) -> torch.Tensor:
    """Labels of groups (G, T) of which no snippet has more than one in all: where those of its
    video's classes add up to more, each becomes its share of their powers.

    Args:
        labels: in [0, 1].
        video: (G,) int64, which video a group is of; all groups of a video must be there.
        power: 1: shares in proportion; the higher, the more the largest takes; 0: nothing is
            changed.
    """
    if power == 0.0 or labels.numel() == 0:
        return labels

    same = (video.unsqueeze(1) == video).double()  # a product adds up in a fixed order

    def over_classes(values: torch.Tensor) -> torch.Tensor:
        return same @ values.double()

    powers = labels.double() ** power
    shares = powers / over_classes(powers).clamp(min=torch.finfo(torch.float64).tiny)
    return torch.where(over_classes(labels) > 1.0, shares, labels).to(labels)


def _combine(
    segments: torch.Tensor,
    confidences: torch.Tensor,
    counts: torch.Tensor,
    groups: ActivationGroups,
    how: str,
) -> torch.Tensor:
    """The mean, or the maximum, of the confidences of the instances that cover a snippet (G, T):
    what LinPro is compared with."""
    inside = gx.interval_membership(
        segments, groups.activations.shape[1], counts, mode="mean", lengths=groups.lengths
    ).bool()
    weighted = inside * confidences.unsqueeze(-1)
    if how == "maximum":
        return torch.nn.functional.pad(weighted, (0, 0, 0, 1)).amax(1)
    return weighted.sum(1) / inside.sum(1).clamp(min=1)


def temperature_at(config: PostprocessConfig, refresh: int) -> float:
    """The fusion's temperature at a refresh, counted from 0; after the last one, that one's."""
    return config.temperature[min(refresh, len(config.temperature) - 1)]
