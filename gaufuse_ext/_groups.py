"""Groups: every operation works on (G, ...) tensors; one group may come without the G axis."""

from __future__ import annotations

from typing import NamedTuple

import torch


def unbatch(result: NamedTuple) -> NamedTuple:
    """Takes the G axis of one group off every tensor of a result."""
    return type(result)(*(tensor.squeeze(0) for tensor in result))


def valid_mask(counts: torch.Tensor, capacity: int) -> torch.Tensor:
    """(G, capacity) bool: which entries of each padded group are valid."""
    return torch.arange(capacity, device=counts.device) < counts.unsqueeze(-1)
