"""The losses of one training step (method section 2), each a value per video.

Videos are padded; a mean over snippets is a mean over a video's own snippets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from gaufuse.config import LossConfig
from gaufuse.model.rskp import Branch, Outputs


@dataclass(frozen=True)
class SnippetTarget:
    """What snippets are trained on: pseudo labels, or their change, times a gain."""

    values: torch.Tensor  # (B, T, C), negative where a label falls
    # What a class and its complement add up to: the gain for labels, 0 for a change.
    total: float


@dataclass(frozen=True)
class LossWeights:
    """The weights that change over the epochs."""

    spl: float
    label: float


def step_losses(
    outputs: Outputs,
    labels: torch.Tensor,
    mask: torch.Tensor,
    remembered: torch.Tensor | None,
    target: SnippetTarget | None,
    config: LossConfig,
    weights: LossWeights,
) -> dict[str, torch.Tensor]:
    """Weighted losses by name, each (B,); their sum is what is trained on.

    Args:
        labels: (B, C) multi-hot.
        mask: (B, T) bool.
        remembered: (B,) bool, videos whose memory branch has something to say; None without one.
        target: None before the first refresh.
    """
    losses = {
        "foreground": config.foreground_weight
        * _foreground(outputs, labels, mask, remembered, config)
    }
    if config.background_weight:
        background = _background(outputs, labels, remembered, config)
        losses["background"] = config.background_weight * background
    if config.attention_weight:
        attention = _attention(outputs.original, mask, config)
        losses["attention"] = config.attention_weight * attention
    if weights.spl:
        losses["spl"] = weights.spl * _self_distillation(outputs, mask, remembered, config)
    if target is not None and weights.label:
        losses["label"] = weights.label * _pseudo_labels(outputs, mask, target, config)
    return losses


def _foreground(
    outputs: Outputs,
    labels: torch.Tensor,
    mask: torch.Tensor,
    remembered: torch.Tensor | None,
    config: LossConfig,
) -> torch.Tensor:
    if config.video == "softmax":
        target = F.pad(labels, (0, 1))  # no background

        def loss(branch: Branch) -> torch.Tensor:
            return _cross_entropy(branch.video, target)
    else:

        def loss(branch: Branch) -> torch.Tensor:
            logits = top_mean(branch.scores[..., :-1], mask, config.top_fraction)
            return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(-1)

    return _over_branches(outputs, remembered, loss, config)


def _background(
    outputs: Outputs, labels: torch.Tensor, remembered: torch.Tensor | None, config: LossConfig
) -> torch.Tensor:
    target = F.pad(labels, (0, 1), value=1.0)

    def loss(branch: Branch) -> torch.Tensor:
        assert branch.classwise is not None, "the background loss asks the model for it"
        return _cross_entropy(branch.classwise, target)

    return _over_branches(outputs, remembered, loss, config)


def _over_branches(
    outputs: Outputs,
    remembered: torch.Tensor | None,
    loss: Callable[[Branch], torch.Tensor],
    config: LossConfig,
) -> torch.Tensor:
    total = loss(outputs.original) + loss(outputs.reallocated)
    if outputs.memory is not None:
        assert remembered is not None, "comes with a memory branch"
        total = total + config.memory_weight * remembered * loss(outputs.memory)
    return total


def _cross_entropy(log_probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(B, C + 1) and a multi-hot target, which is normalised to sum 1."""
    target = target / target.sum(-1, keepdim=True).clamp(min=1.0)
    return -(target * log_probabilities).sum(-1)


def _attention(branch: Branch, mask: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """The top snippets' attention should be high, the bottom ones' low."""
    attention = branch.attention.unsqueeze(-1)
    highest = top_mean(attention, mask, config.top_fraction)
    lowest = -top_mean(-attention, mask, config.top_fraction)
    return (lowest - highest).squeeze(-1)


def _self_distillation(
    outputs: Outputs, mask: torch.Tensor, remembered: torch.Tensor | None, config: LossConfig
) -> torch.Tensor:
    """The original branch follows the branches that have propagated knowledge in them."""
    target = outputs.reallocated.scores.detach()
    if outputs.memory is not None:
        assert remembered is not None, "comes with a memory branch"
        mix = config.spl_memory_mix * remembered[:, None, None].to(target.dtype)
        target = (1.0 - mix) * target + mix * outputs.memory.scores.detach()
    target = (target / config.spl_temperature).softmax(-1)
    prediction = (outputs.original.scores / config.spl_temperature).log_softmax(-1)
    return snippet_mean(-(target * prediction).sum(-1), mask)


def _pseudo_labels(
    outputs: Outputs, mask: torch.Tensor, target: SnippetTarget, config: LossConfig
) -> torch.Tensor:
    """Cross entropy of the labels. Of a change it is the difference of two labels' losses: the
    model moves toward the classes whose confidence rises.

    "softmax": - mean_t sum_c Q_tc log softmax(S)_tc. "sigmoid": each class against its complement.
    """

    def loss(branch: Branch) -> torch.Tensor:
        scores = branch.scores
        if config.video == "softmax":
            return -(target.values * scores.log_softmax(-1)[..., :-1]).sum(-1)
        scores = scores[..., :-1]
        rest = target.total - target.values
        return -(target.values * F.logsigmoid(scores) + rest * F.logsigmoid(-scores)).sum(-1)

    share = config.label_original
    per_snippet = share * loss(outputs.original) + (1.0 - share) * loss(outputs.reallocated)
    return snippet_mean(per_snippet, mask)


def snippet_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, T) -> (B,) over each video's own snippets."""
    return (values * mask).sum(-1) / mask.sum(-1)


def top_mean(values: torch.Tensor, mask: torch.Tensor, fraction: float) -> torch.Tensor:
    """(B, T, N) -> (B, N): mean of the highest `fraction` of each video's own snippets, at least
    one."""
    most = max(1, int(values.shape[1] * fraction))
    count = (mask.sum(-1) * fraction).long().clamp(min=1, max=most)  # (B,)
    lowest = torch.finfo(values.dtype).min
    best = values.masked_fill(~mask.unsqueeze(-1), lowest).topk(most, dim=1).values
    chosen = torch.arange(most, device=values.device) < count[:, None]  # (B, most)
    return (best * chosen.unsqueeze(-1)).sum(1) / count[:, None]
