"""Pairwise temporal IoU."""

from __future__ import annotations

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import group_sizes
from gaufuse_ext._library import _native, call_native, define_operation


@works_in_forked_child
def segment_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Temporal IoU (tIoU) of every segment of `a` with every segment of `b`.

    Args:
        a: (G, N, 2) or (N, 2) start, end; float32 or float64; CPU or CUDA.
        b: (G, M, 2) or (M, 2), same dtype, device and G.

    Returns:
        (G, N, M) or (N, M); zero where the union is empty. It carries no gradient.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start (on
            CUDA values are not read back, so not checked).
    """
    a = _checks.check_segments("a", a)
    b = _checks.check_segments("b", b)
    _checks.check_like("b", b, (*a.shape[:-2], *b.shape[-2:]), a)
    return _operation(a.detach(), b.detach())


def _implementation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = a.contiguous(), b.contiguous()
    iou = _fake(a, b)
    groups, num_a = group_sizes(a.shape[:-1])
    call_native(
        _native.segment_iou,
        a,
        a=a,
        b=b,
        iou=iou,
        groups=groups,
        num_a=num_a,
        num_b=b.shape[-2],
    )
    return iou


def _fake(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a.new_empty(*a.shape[:-1], b.shape[-2])


_operation = define_operation(
    "segment_iou(Tensor a, Tensor b) -> Tensor",
    _implementation,
    _fake,
)
