"""The base model: representative snippets, their propagation, and the prediction head (RSKP).

Everything works on padded batches: (B, T, ...) with a mask; a video's results do not depend on
what it is padded with. D embedding dimensions, K representatives, C classes (the background is
class C).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from gaufuse.config import ModelConfig


@dataclass(frozen=True)
class Branch:
    """Predictions on one version of the snippets."""

    scores: torch.Tensor  # (B, T, C + 1) scaled cosines with the class centers
    attention: torch.Tensor  # (B, T) in [0, 1], zero at padding
    video: torch.Tensor  # (B, C + 1) log-probabilities of the class-agnostic feature: ca
    classwise: torch.Tensor  # (B, C + 1) the same of each class's own feature: cw


@dataclass(frozen=True)
class Outputs:
    original: Branch  # on the embedded snippets
    reallocated: Branch  # after propagation of the video's own representatives
    memory: Branch | None  # after propagation of the class memory
    representatives: torch.Tensor  # (B, K, D)
    representative_scores: torch.Tensor  # (B, K, C + 1) probabilities


class SnippetModel(nn.Module):
    """RSKP. Parameter names are those of the authors' release; `feature_mean` and `feature_scale`,
    which standardise the input, are ours (0 and 1 without standardisation)."""

    def __init__(self, feature_dim: int, num_classes: int, config: ModelConfig):
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.bfloat16 = False  # the embedding layer's products while training
        dim = config.embedding_dim or feature_dim
        self.feature_embedding = nn.Sequential(
            nn.Linear(feature_dim, dim), nn.ReLU(), nn.Dropout(config.dropout)
        )
        self.mu = nn.Parameter(torch.empty(config.representatives, dim))
        self.ac_center = nn.Parameter(torch.empty(num_classes + 1, dim))
        self.fg_center = nn.Parameter(torch.empty(1, dim))
        self.register_buffer("feature_mean", torch.zeros(feature_dim))
        self.register_buffer("feature_scale", torch.ones(feature_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.feature_embedding[0].weight)
        nn.init.zeros_(self.feature_embedding[0].bias)
        nn.init.xavier_uniform_(self.mu)
        nn.init.xavier_uniform_(self.ac_center)
        with torch.no_grad():
            self.fg_center.copy_(-self.ac_center[-1:])

    def forward(
        self,
        features: torch.Tensor,
        mask: torch.Tensor,
        memory: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> Outputs:
        """Args:
        features: (B, T, feature_dim). mask: (B, T) bool.
        memory: representatives (B, M, D) of each video's classes and which of them are valid
            (B, M) bool; None for no memory branch.
        """
        features = (features - self.feature_mean) / self.feature_scale
        bfloat16 = self.bfloat16 and self.training
        with torch.autocast(features.device.type, torch.bfloat16, enabled=bfloat16):
            x = self.feature_embedding(features * mask.unsqueeze(-1))
        x = x.to(features.dtype)
        mu = self.find_representatives(x, mask)
        config = self.config
        reallocated = propagate(x, mask, mu, config.em_scale, config.propagation)
        recalled = None
        if memory is not None:
            rows, valid = memory
            recalled = propagate(x, mask, rows, config.em_scale, config.propagation, valid)
        return Outputs(
            original=self.predict(x, mask),
            reallocated=self.predict(reallocated, mask),
            memory=None if recalled is None else self.predict(recalled, mask),
            representatives=mu,
            representative_scores=(config.scale * cosine(mu, self.ac_center)).softmax(-1),
        )

    def find_representatives(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """EM from `mu`: (B, K, D) means of the snippets that each representative answers for."""
        mu = self.mu.expand(len(x), -1, -1)
        for _ in range(self.config.em_iterations):
            _, normalised = assign(mu, x, mask, self.config.em_scale)
            mu = normalised @ x
        return mu

    def predict(self, x: torch.Tensor, mask: torch.Tensor) -> Branch:
        scale = self.config.scale
        scores = scale * cosine(x, self.ac_center)
        attention = torch.sigmoid(scale * cosine(x, self.fg_center).squeeze(-1)) * mask
        video = (attention.unsqueeze(1) @ x).squeeze(1)
        video = video / (attention.sum(-1, keepdim=True) + 1e-5)
        weights = torch.sigmoid(scores) * mask.unsqueeze(-1)
        classwise = weights.transpose(1, 2) @ x / (weights.sum(1).unsqueeze(-1) + 1e-5)
        own = (F.normalize(classwise, dim=-1) * F.normalize(self.ac_center, dim=-1)).sum(-1)
        return Branch(
            scores=scores,
            attention=attention,
            video=(scale * cosine(video, self.ac_center)).log_softmax(-1),
            classwise=(scale * own).log_softmax(-1),
        )


def cosine(x: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """(..., D) and (N, D), or batches (B, T, D) and (B, N, D) -> (..., N) cosine similarities."""
    return F.normalize(x, dim=-1) @ F.normalize(centers, dim=-1).transpose(-1, -2)


def assign(
    mu: torch.Tensor,
    x: torch.Tensor,
    mask: torch.Tensor,
    scale: float,
    valid: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Z (B, K, T): softmax over representatives, zero at padding; and Z with rows normalised."""
    logits = scale * cosine(x, mu).transpose(1, 2)
    if valid is not None:
        logits = logits.masked_fill(~valid.unsqueeze(-1), torch.finfo(logits.dtype).min)
    z = logits.softmax(dim=1) * mask.unsqueeze(1)
    return z, z / (z.sum(-1, keepdim=True) + 1e-9)


def propagate(
    x: torch.Tensor,
    mask: torch.Tensor,
    mu: torch.Tensor,
    scale: float,
    w: float,
    valid: torch.Tensor | None = None,
) -> torch.Tensor:
    """Random-walk propagation of representatives onto snippets,

        x' = (1 - w) (I_T - w^2 Z' Zn)^(-1) (w Z' mu + x),

    by the Woodbury identity: the T x T matrix has rank K at most, so a K x K solve is exact,

        (I_T - w^2 Z' Zn)^(-1) R = R + w^2 Z' (I_K - w^2 Zn Z')^(-1) Zn R.
    """
    z, normalised = assign(mu, x, mask, scale, valid)
    right = x + w * (z.transpose(1, 2) @ mu)
    small = torch.eye(mu.shape[1], device=x.device, dtype=x.dtype) - w * w * (
        normalised @ z.transpose(1, 2)
    )
    correction = torch.linalg.solve(small, normalised @ right)
    return (1.0 - w) * (right + w * w * (z.transpose(1, 2) @ correction))
