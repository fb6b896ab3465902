"""Groups: every operation works on (G, ...) tensors, or on one group's, without the G axis."""

from __future__ import annotations

from typing import NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._library import _native


class ScoredGroups(NamedTuple):
    """Checked arguments; (N, 2), (N,) and (1,) of one group."""

    segments: torch.Tensor  # (G, N, 2)
    scores: torch.Tensor  # (G, N)
    counts: torch.Tensor | None  # (G,) int64


def scored_groups(segments: object, scores: object, counts: _checks.Counts) -> ScoredGroups:
    """What every operation on scored segments takes: (G, N, 2), (G, N) and (G,), or one group's.

    Raises:
        TypeError, ValueError: shapes, dtypes or devices that do not fit.
    """
    segments = _checks.check_segments("segments", segments)
    scores = _checks.check_like("scores", scores, segments.shape[:-1], segments)
    if counts is not None:
        counts = _checks.check_counts("counts", counts, group_sizes(scores.shape)[0], scores.device)
    return ScoredGroups(segments, scores, counts)


def group_sizes(shape: torch.Size) -> tuple[int, int]:
    """G and N of (G, N), 1 and N of one group's (N,)."""
    return (shape[0], shape[1]) if len(shape) == 2 else (1, shape[0])


@works_in_forked_child
def valid_mask(counts: torch.Tensor, capacity: int) -> torch.Tensor:
    """(G, capacity) bool: which entries of each padded group are valid."""
    return torch.arange(capacity, device=counts.device) < counts.unsqueeze(-1)


def greedy_workspace(scores: torch.Tensor) -> torch.Tensor | None:
    """What a greedy operation keeps of (G, N) scored segments on CUDA: nothing of groups of up to
    2,048 segments; of larger ones 16 bytes a segment, of at most 256 groups at a time."""
    if not scores.is_cuda:
        return None
    groups, capacity = group_sizes(scores.shape)
    size = _native.greedy_workspace(groups=groups, capacity=capacity)
    return scores.new_empty((size,), dtype=torch.float64) if size else None
