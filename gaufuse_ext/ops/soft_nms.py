"""Soft non-maximum suppression of segments."""

from __future__ import annotations

from typing import NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._groups import greedy_workspace, scored_groups, unbatch
from gaufuse_ext._library import _native, call_native, define_operation

METHODS = ("gaussian", "linear")  # in the order of gaufuse::Decay


class SoftNms(NamedTuple):
    """Selected segments in the order of selection; G is absent for unbatched input."""

    keep: torch.Tensor  # (G, N) int64 indices, -1 past counts
    scores: torch.Tensor  # (G, N) decayed scores of the selected, zeros past counts
    counts: torch.Tensor  # (G,) int64, selected segments of each group


def soft_nms(
    segments: torch.Tensor,
    scores: torch.Tensor,
    counts: _checks.Counts = None,
    *,
    method: str = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.1,
    min_score: float = 0.001,
    max_output: int | None = None,
) -> SoftNms:
    """Lowers the scores of segments that overlap a better one, instead of dropping them.

    Repeatedly, the segment with the highest remaining score (ties: lower index) is selected, the
    scores of the others are multiplied by ``exp(-IoU**2 / sigma)`` ("gaussian") or, where
    IoU >= `iou_threshold`, by ``1 - IoU`` ("linear"), and those then below `min_score` are
    dropped; as in ActionFormer, whose first selection of a group is also made whatever its score:
    of a group with any segment at least one is kept. (ActionFormer adds 1e-6 to every length and
    computes in float32; here IoU is exact, zero where the union is empty, and scores decay in
    float64.)

    Args:
        segments: (G, N, 2) or (N, 2) start, end in any unit; float32 or float64; CPU or CUDA.
        scores: (G, N) or (N,), same dtype and device.
        counts: (G,) valid segments of each group; all N by default.
        method: "gaussian" or "linear".
        sigma: of the gaussian.
        iou_threshold: of the linear method, in [0, 1].
        min_score: segments whose decayed score is below it are dropped.
        max_output: stop after that many selections in a group; at most N by default.

    Returns:
        SoftNms, padded; without a device-to-host read. It carries no gradient.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start (on
            CUDA values are not read back, so not checked).
    """
    segments, scores, counts, batched = scored_groups(segments, scores, counts)
    decay = METHODS.index(_checks.check_choice("method", method, METHODS))
    _checks.check_positive("sigma", sigma)
    _checks.check_fraction("iou_threshold", iou_threshold)
    _checks.check_finite_number("min_score", min_score)
    if max_output is not None:
        _checks.check_integer("max_output", max_output, 0)
    segments, scores = segments.detach(), scores.detach()
    most = scores.shape[1] if max_output is None else max_output
    result = SoftNms(
        *_operation(segments, scores, counts, decay, sigma, iou_threshold, min_score, most)
    )
    return result if batched else unbatch(result)


def _allocate(scores: torch.Tensor) -> SoftNms:
    groups, capacity = scores.shape
    return SoftNms(
        scores.new_empty((groups, capacity), dtype=torch.int64),
        scores.new_empty((groups, capacity)),
        scores.new_empty((groups,), dtype=torch.int64),
    )


def _implementation(segments, scores, counts, decay, sigma, iou_threshold, min_score, max_output):
    segments, scores = segments.contiguous(), scores.contiguous()
    groups, capacity = scores.shape
    out = _allocate(scores)
    call_native(
        _native.soft_nms,
        segments,
        segments,
        scores,
        counts,
        *out,
        greedy_workspace(scores),
        groups,
        capacity,
        max_output,
        sigma,
        iou_threshold,
        min_score,
        decay,
    )
    return tuple(out)


def _fake(segments, scores, counts, decay, sigma, iou_threshold, min_score, max_output):
    return tuple(_allocate(scores))


_operation = define_operation(
    "soft_nms(Tensor segments, Tensor scores, Tensor? counts, int decay, float sigma, "
    "float iou_threshold, float min_score, SymInt max_output) -> (Tensor, Tensor, Tensor)",
    _implementation,
    _fake,
)
