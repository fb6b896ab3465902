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
from gaufuse.model.dropout import ReluDropout, drop_
from gaufuse.model.spaced_convolution import SpacedConvolution

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
            SpacedConvolution(width, dilation) for dilation in config.dilations
        )
        self.classify = nn.Linear(width, num_classes)
        nn.init.constant_(self.classify.bias, torch.logit(torch.tensor(PRIOR)).item())

    def standardize(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Features are shifted by -mean and divided by scale, (feature_dim,), from now on."""
        self.feature_mean.copy_(mean)
        self.feature_scale.copy_(scale)

    def logits(
        self, features: torch.Tensor, mask: torch.Tensor, lengths: list[int] | None = None
    ) -> torch.Tensor:
        """(B, T, C); a video's do not depend on what it is padded with.

        Args:
            features: (B, T, feature_dim).
            mask: (B, T) bool.
            lengths: the videos' lengths, on the host, the longest of them T; padding is then left
                out. None: it does not know.
        """
        config, training = self.config, self.training
        sizes = lengths or [features.shape[1]] * len(features)
        x = ReluDropout.apply(self.reduce(self._standardised(features, sizes)), 0.0)
        # Videos in one column, zeros between them, for the convolutions to see past their ends.
        gap = max(config.dilations, default=0)
        space = x.new_zeros(gap, config.width)
        x = torch.cat([part for video in x.split(sizes) for part in (video, space)])
        inside = F.pad(mask.to(x.dtype), (0, gap))
        inside = torch.cat([row[: size + gap] for row, size in zip(inside, sizes, strict=True)])
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution(norm(x) * inside.unsqueeze(-1))
            x = x + ReluDropout.apply(y, config.dropout if training else 0.0)
        own = self.classify(x).split([rows for size in sizes for rows in (size, gap)])[::2]
        logits: torch.Tensor = nn.utils.rnn.pad_sequence(list(own), batch_first=True)
        return logits

    @torch.no_grad()
    def _standardised(self, features: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        """(rows, feature_dim), with dropout. Features are by far the largest tensor here, so each
        video is read once, and the rest is done while it is in the cache."""
        x = features.new_empty(sum(sizes), features.shape[-1])
        shift, factor = -self.feature_mean / self.feature_scale, 1.0 / self.feature_scale
        for video, own in zip(features, x.split(sizes), strict=True):
            torch.addcmul(shift, video[: len(own)], factor, out=own)
            drop_(own, self.config.input_dropout if self.training else 0.0)
        return x
