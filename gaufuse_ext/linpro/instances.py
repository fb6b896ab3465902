"""A batch of instances, as LinPro is given it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from gaufuse_ext.array_types import Floats


class Instances(NamedTuple):
    """Floats of float32 or float64; (N, 2), (N,), (N,), (1,), (1,) of one group."""

    segments: torch.Tensor  # (G, N, 2)
    scores: torch.Tensor  # (G, N)
    weights: torch.Tensor | None  # (G, N); None: ones
    counts: torch.Tensor | None  # (G,) int64
    lengths: torch.Tensor | None  # (G,) int64

    def group(self, index: int) -> tuple[Floats, Floats, Floats]:
        """Segments, scores and weights of one group, without padding; of what is on the host."""
        count = self.scores.shape[1] if self.counts is None else max(0, int(self.counts[index]))
        weights = torch.ones_like(self.scores) if self.weights is None else self.weights
        arrays = (x[index, :count].numpy() for x in (self.segments, self.scores, weights))
        segments, confidences, own_weights = arrays
        return segments, confidences, own_weights

    def on_host(self, groups: list[int]) -> Instances:
        """These groups alone, as float64 on the CPU, by one copy from the device."""
        index = torch.tensor(groups, device=self.scores.device)
        parts = _of_each(self, lambda x: x[index])
        given = [x for x in parts if x is not None]
        rows = torch.cat([x.reshape(len(groups), -1).double() for x in given], dim=1).cpu()
        columns = iter(rows.split([x[0].numel() for x in given], dim=1))
        return _of_each(parts, lambda x: next(columns).reshape(x.shape))

    def as_batch(self) -> Instances:
        """One group as a batch of one."""
        if self.scores.dim() == 2:
            return self
        weights = None if self.weights is None else self.weights.unsqueeze(0)
        return self._replace(
            segments=self.segments.unsqueeze(0), scores=self.scores.unsqueeze(0), weights=weights
        )

    def length(self, index: int, num_snippets: int) -> int:
        """Valid snippets of one group of num_snippets."""
        return num_snippets if self.lengths is None else int(self.lengths[index])


def _of_each(instances: Instances, change: Callable[[torch.Tensor], torch.Tensor]) -> Instances:
    """What a change makes of each tensor that is there, in their order."""
    segments, scores, weights, counts, lengths = instances
    return Instances(
        change(segments),
        change(scores),
        None if weights is None else change(weights),
        None if counts is None else change(counts),
        None if lengths is None else change(lengths),
    )
