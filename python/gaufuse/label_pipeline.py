"""From activations to snippet labels: one path, for training and for `gaufuse label`."""

from __future__ import annotations

import gaufuse_ext as gx
from gaufuse.config import LinproConfig, PostprocessConfig
from gaufuse.postprocess import Groups, find_instances


def labels_of(
    groups: Groups, config: PostprocessConfig, linpro: LinproConfig, temperature: float
) -> tuple[gx.FusedSegments, gx.LinproLabels]:
    """Instances of each group, boundaries in snippets, and the labels (G, T) that LinPro makes of
    them.

    Args:
        config: a configuration's [labels].
        temperature: of the fusion; see `temperature_at`.
    """
    fused = find_instances(groups, config, temperature)
    solved = gx.linpro_labels(
        fused.segments,
        fused.scores,
        groups.activations.shape[1],
        fused.counts,
        lengths=groups.lengths,
        **linpro.model_dump(),
    )
    return fused, solved


def temperature_at(config: PostprocessConfig, refresh: int) -> float:
    """The fusion's temperature at a refresh, counted from 0; after the last one, that one's."""
    return config.temperature[min(refresh, len(config.temperature) - 1)]
