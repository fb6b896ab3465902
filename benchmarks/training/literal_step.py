"""The training step as the authors' release computes it: one video after the other, the T x T
matrix of the random walk inverted, the gradients of ten videos summed.

The obvious reference of `gaufuse.training.step`, for its tests and for the benchmark. Softmax video
losses only (the paper's); method section 2 names the terms.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from gaufuse.config import Config
from gaufuse.model.losses import LossWeights
from gaufuse.model.rskp import SnippetModel


def cosine(x: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """(T, D), (N, D) -> (T, N)."""
    return F.normalize(x, dim=-1) @ F.normalize(centers, dim=-1).T


def assign(mu: torch.Tensor, x: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Z (K, T) and Z with rows normalised."""
    z = (scale * cosine(x, mu)).T.softmax(0)
    return z, z / (z.sum(1, keepdim=True) + 1e-9)


def expectation_maximisation(
    mu: torch.Tensor, x: torch.Tensor, iterations: int, scale: float
) -> torch.Tensor:
    for _ in range(iterations):
        mu = assign(mu, x, scale)[1] @ x
    return mu


def propagate(mu: torch.Tensor, x: torch.Tensor, w: float, scale: float) -> torch.Tensor:
    """x' (T, D), by the inverse of a T x T matrix."""
    z, normalised = assign(mu, x, scale)
    walk = torch.eye(len(x), dtype=x.dtype, device=x.device) - w * w * z.T @ normalised
    return (1.0 - w) * torch.linalg.inv(walk) @ (w * z.T @ mu + x)


def predict(
    model: SnippetModel, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores (T, C + 1), attention (T,), log-probabilities ca and cw (C + 1,)."""
    scale = model.config.scale
    scores = scale * cosine(x, model.ac_center)
    attention = torch.sigmoid(scale * cosine(x, model.fg_center)).squeeze(1)
    video = attention @ x / (attention.sum() + 1e-5)
    weights = scores.sigmoid()
    classwise = weights.T @ x / (weights.sum(0).unsqueeze(1) + 1e-5)
    ca = scale * cosine(video.unsqueeze(0), model.ac_center).squeeze(0)
    cw = scale * F.cosine_similarity(classwise, model.ac_center, dim=1)
    return scores, attention, ca.log_softmax(0), cw.log_softmax(0)


def video_losses(
    model: SnippetModel,
    features: torch.Tensor,
    label: torch.Tensor,
    memory: torch.Tensor | None,
    target: torch.Tensor | None,
    config: Config,
    weights: LossWeights,
) -> dict[str, torch.Tensor]:
    """The weighted losses of one video by name, scalars.

    Args:
        features: (T, feature_dim). label: (C,) multi-hot.
        memory: (M, D) representatives of the video's classes; None without.
        target: (T, C) labels or their change; None before the first refresh.
    """
    settings, loss = config.model, config.loss
    x = model.feature_embedding(features)
    mu = expectation_maximisation(model.mu, x, settings.em_iterations, settings.em_scale)
    walked = propagate(mu, x, settings.propagation, settings.em_scale)
    branches = [(1.0, predict(model, x)), (1.0, predict(model, walked))]
    if memory is not None:
        recalled = propagate(memory, x, settings.propagation, settings.em_scale)
        branches.append((loss.memory_weight, predict(model, recalled)))

    foreground = torch.cat([label, label.new_zeros(1)])
    background = torch.cat([label, label.new_ones(1)])
    foreground, background = foreground / foreground.sum(), background / background.sum()
    losses = {
        "foreground": loss.foreground_weight
        * sum(share * -(foreground * branch[2]).sum() for share, branch in branches),
        "background": loss.background_weight
        * sum(share * -(background * branch[3]).sum() for share, branch in branches),
    }
    scores, attention = branches[0][1][:2]
    reallocated = branches[1][1][0]
    most = max(1, int(len(x) * loss.top_fraction))
    ordered = attention.sort().values
    losses["attention"] = loss.attention_weight * (ordered[:most].mean() - ordered[-most:].mean())

    teacher = reallocated.detach()
    if memory is not None:
        mix = loss.spl_memory_mix
        teacher = (1.0 - mix) * teacher + mix * branches[2][1][0].detach()
    teacher = (teacher / loss.spl_temperature).softmax(1)
    followed = -(teacher * (scores / loss.spl_temperature).log_softmax(1)).sum(1).mean()
    losses["spl"] = weights.spl * followed
    if target is not None:
        share = loss.label_original
        own, other = (
            -(target * branch.log_softmax(1)[:, :-1]).sum(1).mean()
            for branch in (scores, reallocated)
        )
        losses["label"] = weights.label * (share * own + (1.0 - share) * other)
    return losses


def literal_step(
    model: SnippetModel,
    optimizer: torch.optim.Optimizer,
    videos: list[torch.Tensor],
    labels: torch.Tensor,
    memories: list[torch.Tensor | None],
    targets: list[torch.Tensor | None],
    config: Config,
    weights: LossWeights,
) -> None:
    """One update from the sum of the videos' gradients; labels (B, C)."""
    optimizer.zero_grad(set_to_none=True)
    for video, label, memory, target in zip(videos, labels, memories, targets, strict=True):
        losses = video_losses(model, video, label, memory, target, config, weights)
        sum(losses.values()).backward()
    optimizer.step()
