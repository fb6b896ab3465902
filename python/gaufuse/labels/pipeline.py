"""From activations to snippet labels: one path, for training and for `gaufuse label`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import gaufuse_ext as gx
from gaufuse.config import Config, PostprocessConfig
from gaufuse.labels.pseudo_instances import pseudo_instances
from gaufuse.localization.instances import ActivationGroups, find_instances


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


def labels_of(groups: ActivationGroups, config: Config, temperature: float) -> MadeLabels:
    """Instances of each group by [labels], those of them and their confidences that [instances]
    wants, and the snippet labels that [linpro] makes of them.

    Args:
        temperature: of the fusion; see `temperature_at`.
    """
    fused = find_instances(groups, config.labels, temperature)
    segments, confidences, counts = pseudo_instances(fused, groups, config.instances)
    snippets = groups.activations.shape[1]
    if config.instances.combine != "linpro":
        labels = _combine(segments, confidences, counts, groups, config.instances.combine)
        nothing = labels.new_zeros(())
        return MadeLabels(labels, counts.sum(), nothing, nothing, None)
    solved = gx.linpro_labels(
        segments,
        confidences,
        snippets,
        counts,
        lengths=groups.lengths,
        **config.linpro.model_dump(),
    )
    return MadeLabels(
        solved.labels, counts.sum(), solved.residual.sum(), solved.relaxed.sum(), solved
    )


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
