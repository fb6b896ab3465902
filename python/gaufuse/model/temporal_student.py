"""The second round's model: a temporal convolutional network that learns from pseudo labels alone.

The base model must be weak: what supervises it is a video's label, which a model that sees far in
time meets anywhere in the video. Snippet labels can be learned by a stronger one, which sees its
surroundings: residual layers of dilated convolutions. Its class activations take the same path to
instances as the base model's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from gaufuse.config import SecondRoundConfig

PRIOR = 0.05  # what every class scores at first: most snippets show none (as of focal losses)


class TemporalStudent(nn.Module):
    """Standardised features -> linear -> residual dilated convolutions -> a logit a class."""

    feature_mean: torch.Tensor
    feature_scale: torch.Tensor

    def __init__(self, feature_dim: int, num_classes: int, config: SecondRoundConfig):
        super().__init__()
        width = config.width
        self.config = config
        self.num_classes = num_classes
        self.register_buffer("feature_mean", torch.zeros(feature_dim))
        self.register_buffer("feature_scale", torch.ones(feature_dim))
        self.reduce = nn.Linear(feature_dim, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in config.dilations)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
            for dilation in config.dilations
        )
        self.classify = nn.Linear(width, num_classes)
        nn.init.constant_(self.classify.bias, torch.logit(torch.tensor(PRIOR)).item())

    def standardize(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Features are shifted by -mean and divided by scale, (feature_dim,), from now on."""
        self.feature_mean.copy_(mean)
        self.feature_scale.copy_(scale)

    def logits(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, T, feature_dim) and (B, T) bool -> (B, T, C). A video's logits do not depend on what
        it is padded with."""
        config = self.config
        inside = mask.unsqueeze(-1).to(features.dtype)
        x = (features - self.feature_mean) / self.feature_scale
        x = F.relu(self.reduce(F.dropout(x, config.input_dropout, self.training))) * inside
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution((norm(x) * inside).transpose(1, 2)).transpose(1, 2)
            x = (x + F.dropout(F.relu(y), config.dropout, self.training)) * inside
        logits: torch.Tensor = self.classify(x)
        return logits
