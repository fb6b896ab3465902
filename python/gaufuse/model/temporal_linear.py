"""A temporal convolution of packed videos: the linear layer of a snippet and its neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class TemporalLinear(nn.Linear):
    """y_t = W [x_(t+o) for each offset o] + b: a 1-D convolution, zero outside a video.

    Its weight is (out_features, K * in_features), one block of columns an offset, from the earliest
    neighbour to the latest. With kernel 1 it is `nn.Linear`: the layer of the paper's base model,
    with the same parameters.

    Neighbours are never copied: the videos lie in one buffer with zeros between them, and each
    offset is one matrix product with a shifted view of it.
    """

    def __init__(self, in_features: int, out_features: int, kernel: int = 1, dilation: int = 1):
        """kernel: odd, how many snippets it sees. dilation: snippets from one to the next."""
        super().__init__(kernel * in_features, out_features)
        self.kernel = kernel
        self.reach = dilation * (kernel // 2)
        self.offsets = range(-self.reach, self.reach + 1, dilation)

    def forward(self, x: torch.Tensor, lengths: list[int] | None = None) -> torch.Tensor:
        """-> (rows of x, out_features), no view, so that what follows can work in place.

        Args:
            x: (rows, in_features), the snippets of all videos in one row; or (B, T, in_features),
                zero at padding.
            lengths: of the videos in a row. None for padded ones, and for a single video.

        Under autocast the products are in its type and added up in it.
        """
        if self.kernel == 1:
            return F.linear(x.flatten(0, -2), self.weight, self.bias)
        if lengths is not None:
            return self._convolve(list(x.split(lengths)))
        return self._convolve(list(x) if x.ndim == 3 else [x])

    def _convolve(self, videos: list[torch.Tensor]) -> torch.Tensor:
        gap = videos[0].new_zeros(self.reach, videos[0].shape[-1])
        spaced = torch.cat([part for video in videos for part in (gap, video)] + [gap])
        rows = len(spaced) - 2 * self.reach
        weights = self.weight.unflatten(1, (self.kernel, -1)).unbind(1)
        y: torch.Tensor = self.bias
        for offset, weight in zip(self.offsets, weights, strict=True):
            first = self.reach + offset
            y = torch.addmm(y, spaced[first : first + rows], weight.T)
        # One split and one cat, whose gradient is one pass over the rows.
        sizes = [size for video in videos for size in (len(video), self.reach)][:-1]
        return torch.cat(y.split(sizes)[::2])
