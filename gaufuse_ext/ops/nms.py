"""Greedy non-maximum suppression of segments."""

from __future__ import annotations

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import greedy_workspace, group_sizes, scored_groups
from gaufuse_ext._library import _native, call_native, define_operation


@works_in_forked_child
def nms(
    segments: torch.Tensor,
    scores: torch.Tensor,
    iou_threshold: float,
    counts: _checks.Counts = None,
    *,
    length_epsilon: float = 0.0,
) -> torch.Tensor:
    """Keeps the best segments and drops those that overlap a better one.

    By score descending (ties: lower index first), the best remaining segment is kept and every
    remaining one with IoU >= `iou_threshold` is dropped. (1-D detection code drops at >=;
    torchvision at >.)

    Args:
        segments: (G, N, 2) or (N, 2) start, end in any unit; float32 or float64; CPU or CUDA.
        scores: (G, N) or (N,), same dtype and device.
        iou_threshold: in [0, 1].
        counts: (G,) valid segments of each group; all N by default.
        length_epsilon: added to every length where the union is made; ActionFormer and OpenTAD
            add 1e-6, so that an IoU of exactly `iou_threshold` keeps a segment.

    Returns:
        int64 indices of the kept segments by descending score. Batched: (G, N), padded with -1,
        without a device-to-host read. Unbatched: (K,), as torchvision returns them (on CUDA this
        reads one number back).

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start (on
            CUDA values are not read back, so not checked).
    """
    segments, scores, counts = scored_groups(segments, scores, counts)
    iou_threshold = _checks.check_fraction("iou_threshold", iou_threshold)
    epsilon = _checks.check_not_negative("length_epsilon", length_epsilon)
    keep = _operation(segments, scores, counts, iou_threshold, epsilon)
    return keep if keep.dim() == 2 else keep[keep >= 0]


def _implementation(
    segments: torch.Tensor,
    scores: torch.Tensor,
    counts: torch.Tensor | None,
    iou_threshold: float,
    length_epsilon: float,
) -> torch.Tensor:
    segments, scores = segments.contiguous(), scores.contiguous()
    groups, capacity = group_sizes(scores.shape)
    keep = scores.new_empty(*scores.shape, dtype=torch.int64)
    call_native(
        _native.nms,
        segments,
        segments=segments,
        scores=scores,
        counts=counts,
        keep=keep,
        workspace=greedy_workspace(scores),
        groups=groups,
        capacity=capacity,
        iou_threshold=iou_threshold,
        length_epsilon=length_epsilon,
    )
    return keep


def _fake(segments: torch.Tensor, scores: torch.Tensor, *_: object) -> torch.Tensor:
    return scores.new_empty(scores.shape, dtype=torch.int64)


_operation = define_operation(
    "nms(Tensor segments, Tensor scores, Tensor? counts, float iou_threshold, "
    "float length_epsilon) -> Tensor",
    _implementation,
    _fake,
)
