"""Class activation sequences from a model's outputs (method section 3)."""

from __future__ import annotations

import torch

from gaufuse.config import PostprocessConfig
from gaufuse.model.rskp import Outputs


def class_activations(outputs: Outputs, config: PostprocessConfig) -> torch.Tensor:
    """(B, T, C) class activation sequences (CAS)."""
    share = config.original_share
    branches = (outputs.original, outputs.reallocated)
    if config.cas == "attention_softmax":
        first, second = (branch.scores.softmax(-1)[..., :-1] for branch in branches)
        mixed = share * first + (1.0 - share) * second
        return outputs.original.attention.unsqueeze(-1) * mixed
    first, second = (branch.scores[..., :-1] for branch in branches)
    scores = config.cas_scale * (share * first + (1.0 - share) * second)
    if config.cas == "competing":
        return scores.sigmoid() * scores.softmax(-1)
    return scores.sigmoid()
