"""Dropout whose random numbers are cheap.

An element is kept where 16 random bits are at or above p * 65536, so the share that is dropped is p
to 1e-5, and a drawn 64-bit number serves four elements: on the CPU, where they are drawn one after
the other, that is several times faster than one draw for each.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable


def drop_(x: torch.Tensor, p: float) -> float:
    """Sets a share p of x, in [0, 1), to zero and multiplies the rest, in place, by the factor that
    is returned. x: of any floating-point dtype, needs no gradient."""
    if p == 0.0:
        return 1.0
    cut = round(p * 65536)
    scale = 65536 / (65536 - cut)
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device)
    bits = draws.random_(-(2**63), None).view(torch.int16)[: x.numel()]
    # bits >= cut - 32768 as 1 or 0, by arithmetic: comparing takes several times as long on a CPU.
    kept = bits.view(x.shape).float().sub_(cut - 32769).clamp_(0.0, 1.0)
    x.mul_(kept).mul_(scale)
    return scale


class ReluDropout(torch.autograd.Function):
    """max(x, 0) with dropout, in place: all that the backward needs is the result."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, p: float) -> torch.Tensor:
        """x, which is overwritten; p: the share to drop, in [0, 1)."""
        x.relu_()
        ctx.mark_dirty(x)
        ctx.scale = drop_(x, p)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The gradient of x where the result is positive; called by autograd, once."""
        (x,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradient, x, 0.0).mul_(ctx.scale), None
