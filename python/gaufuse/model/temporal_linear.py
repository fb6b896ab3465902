"""A temporal convolution of packed videos: the linear layer of a snippet and its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


class TemporalLinear(nn.Linear):
    """y_t = W [x_(t+o) for each offset o] + b: a 1-D convolution, zero outside a video.

    With several kernels, the outputs are shared out among them, as many to each, from the smallest
    to the largest: some see a snippet alone, some far around it.

    Each kernel has the offsets of the one before it and a ring of its own around them. So weights
    lie by ring: `weight`, (out_features, K * in_features), are those of the smallest kernel, which
    all outputs have; `outer` are those of each further ring, which the outputs of smaller kernels
    do not have. All of them have one block of columns an offset, from the earliest neighbour to the
    latest. With kernel 1 that is `nn.Linear`: the layer of the paper's base model, with the same
    parameters.

    Neighbours are never copied: the videos lie in one buffer with zeros between them, and each
    offset is one matrix product with a shifted view of it.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel: int | Sequence[int] = 1,
        dilation: int = 1,
    ):
        """kernel: odd, how many snippets it sees; several are rising, at most out_features of them.
        dilation: snippets from one to the next.

        It starts as nn.Linear does, with outer rings of zero; `draw` draws them all.

        Raises:
            ValueError: more kernels than out_features.
        """
        kernels = [kernel] if isinstance(kernel, int) else list(kernel)
        if len(kernels) > out_features:
            raise ValueError(
                f"an embedding of {out_features} dimensions cannot be shared out among "
                f"{len(kernels)} kernels, {kernels}: fewer kernels, or a larger embedding"
            )
        super().__init__(kernels[0] * in_features, out_features)
        self.kernels = kernels
        self.reach = dilation * (kernels[-1] // 2)
        within = [-1, *(size // 2 for size in kernels)]
        self.offsets = [
            [dilation * i for i in range(-most, most + 1) if abs(i) > least]
            for least, most in pairwise(within)
        ]
        self.bounds = shared_out(out_features, len(kernels))
        self.outer = nn.ParameterList(
            torch.zeros(out_features - first, len(own) * in_features)
            for first, own in zip(self.bounds[1:], self.offsets[1:], strict=False)
        )

    @torch.no_grad()
    def draw(self) -> None:
        """Weights from torch's default generator, each kernel's as `nn.init.xavier_uniform_` draws
        those of a layer that has it for all out_features; biases of zero."""
        fan_in = self.in_features // self.kernels[0]
        for part, size in enumerate(self.kernels):
            limit = math.sqrt(3.0) * math.sqrt(2.0 / (fan_in * size + self.out_features))
            for first, ring in list(zip(self.bounds, self._rings(), strict=False))[: part + 1]:
                own = ring[self.bounds[part] - first : self.bounds[part + 1] - first]
                own.uniform_(-limit, limit)
        nn.init.zeros_(self.bias)

    def forward(self, x: torch.Tensor, lengths: list[int] | None = None) -> torch.Tensor:
        """-> (rows of x, out_features), no view, so that what follows can work in place.

        Args:
            x: (rows, in_features), the snippets of all videos in one row; or (B, T, in_features),
                zero at padding.
            lengths: of the videos in a row. None for padded ones, and for a single video.

        Under autocast the products are in its type and added up in it.
        """
        if self.reach == 0:
            return F.linear(x.flatten(0, -2), self.weight, self.bias)
        if lengths is not None:
            return self._convolve(list(x.split(lengths)))
        return self._convolve(list(x) if x.ndim == 3 else [x])

    def extra_repr(self) -> str:
        """What printing a model shows of it."""
        features = self.in_features // self.kernels[0]
        seen = f"kernels={self.kernels}, reach={self.reach}"
        return f"in_features={features}, out_features={self.out_features}, {seen}"

    def _rings(self) -> list[torch.Tensor]:
        return [self.weight, *self.outer]

    def _convolve(self, videos: list[torch.Tensor]) -> torch.Tensor:
        gap = videos[0].new_zeros(self.reach, videos[0].shape[-1])
        spaced = torch.cat([part for video in videos for part in (gap, video)] + [gap])
        rows = len(spaced) - 2 * self.reach
        # From the outermost ring, which the fewest outputs see, inwards.
        y: torch.Tensor = self.bias[self.bounds[-2] :]
        inwards = zip(self.bounds, self.bounds[1:], self.offsets, self._rings(), strict=False)
        for first, last, offsets, ring in reversed(list(inwards)):
            if last < self.out_features:
                y = torch.cat([self.bias[first:last].to(y.dtype).expand(rows, -1), y], 1)
            for offset, weight in zip(
                offsets, ring.unflatten(1, (len(offsets), -1)).unbind(1), strict=True
            ):
                seen = self.reach + offset
                y = torch.addmm(y, spaced[seen : seen + rows], weight.T)
        # One split and one cat, whose gradient is one pass over the rows.
        sizes = [size for video in videos for size in (len(video), self.reach)][:-1]
        return torch.cat(y.split(sizes)[::2])


def shared_out(outputs: int, parts: int) -> list[int]:
    """Where each of `parts` begins that share out so many outputs, and where the last one ends."""
    return [outputs * part // parts for part in range(parts + 1)]
