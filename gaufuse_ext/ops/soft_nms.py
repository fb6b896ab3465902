"""Soft non-maximum suppression of segments."""

from __future__ import annotations

from typing import NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import greedy_workspace, group_sizes, scored_groups
from gaufuse_ext._library import _native, call_native, define_operation

METHODS = ("gaussian", "linear", "hard", "gaussian_above")  # in the order of gaufuse::Decay


class SoftNms(NamedTuple):
    """Selected segments in the order of selection; G is absent for unbatched input."""

    keep: torch.Tensor  # (G, N) int64 indices, -1 past counts
    scores: torch.Tensor  # (G, N) decayed scores of the selected, zeros past counts
    counts: torch.Tensor  # (G,) int64, selected segments of each group


@works_in_forked_child
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
    threshold_growth: float = 0.0,
    length_epsilon: float = 0.0,
) -> SoftNms:
    """Lowers the scores of segments that overlap a better one, instead of dropping them.

    Repeatedly, the segment with the highest remaining score (ties: lower index) is selected, the
    scores of the others are multiplied by

    - ``exp(-IoU**2 / sigma)`` ("gaussian"), or, where IoU >= `iou_threshold`,
    - by ``1 - IoU`` ("linear"), or by 0 ("hard");
    - by the gaussian where IoU >= ``iou_threshold + threshold_growth * (length of the selected)``
      ("gaussian_above": BMN's, OpenTAD's method 3, with thresholds t1 and t2),

    and those then below `min_score` are dropped; as in ActionFormer, whose first selection of a
    group is also made whatever its score: of a group with any segment at least one is kept.
    (ActionFormer computes in float32; here scores decay in float64.)

    Args:
        segments: (G, N, 2) or (N, 2) start, end in any unit; float32 or float64; CPU or CUDA.
        scores: (G, N) or (N,), same dtype and device.
        counts: (G,) valid segments of each group; all N by default.
        method: "gaussian", "linear", "hard" or "gaussian_above".
        sigma: of the gaussian.
        iou_threshold: of all methods but the gaussian, in [0, 1].
        min_score: segments whose decayed score is below it are dropped.
        max_output: stop after that many selections in a group; at most N by default.
        threshold_growth: of "gaussian_above", per unit of length.
        length_epsilon: added to every length; 1e-6 in ActionFormer and OpenTAD. By default IoU is
            exact, and zero where the union is empty.

    Returns:
        SoftNms, padded; without a device-to-host read. It carries no gradient.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start (on
            CUDA values are not read back, so not checked).
    """
    segments, scores, counts = scored_groups(segments, scores, counts)
    decay = METHODS.index(_checks.check_choice("method", method, METHODS))
    sigma = _checks.check_positive("sigma", sigma)
    iou_threshold = _checks.check_fraction("iou_threshold", iou_threshold)
    min_score = _checks.check_finite_number("min_score", min_score)
    threshold_growth = _checks.check_finite_number("threshold_growth", threshold_growth)
    length_epsilon = _checks.check_not_negative("length_epsilon", length_epsilon)
    most = scores.shape[-1]
    if max_output is not None:
        most = _checks.check_integer("max_output", max_output, 0)
    segments, scores = segments.detach(), scores.detach()
    options = (sigma, iou_threshold, threshold_growth, length_epsilon, min_score, most)
    return SoftNms(*_operation(segments, scores, counts, decay, *options))


def _allocate(scores: torch.Tensor) -> SoftNms:
    *groups, capacity = scores.shape
    return SoftNms(
        scores.new_empty(*groups, capacity, dtype=torch.int64),
        scores.new_empty(*groups, capacity),
        scores.new_empty(groups, dtype=torch.int64),
    )


def _implementation(
    segments: torch.Tensor,
    scores: torch.Tensor,
    counts: torch.Tensor | None,
    decay: int,
    sigma: float,
    iou_threshold: float,
    threshold_growth: float,
    length_epsilon: float,
    min_score: float,
    max_output: int,
) -> tuple[torch.Tensor, ...]:
    segments, scores = segments.contiguous(), scores.contiguous()
    groups, capacity = group_sizes(scores.shape)
    out = _allocate(scores)
    call_native(
        _native.soft_nms,
        segments,
        segments=segments,
        scores=scores,
        counts=counts,
        keep=out.keep,
        kept_scores=out.scores,
        kept_counts=out.counts,
        workspace=greedy_workspace(scores),
        groups=groups,
        capacity=capacity,
        max_output=max_output,
        sigma=sigma,
        iou_threshold=iou_threshold,
        threshold_growth=threshold_growth,
        length_epsilon=length_epsilon,
        min_score=min_score,
        decay=decay,
    )
    return tuple(out)


def _fake(segments: torch.Tensor, scores: torch.Tensor, *_: object) -> tuple[torch.Tensor, ...]:
    return tuple(_allocate(scores))


_operation = define_operation(
    "soft_nms(Tensor segments, Tensor scores, Tensor? counts, int decay, float sigma, "
    "float iou_threshold, float threshold_growth, float length_epsilon, float min_score, "
    "SymInt max_output) -> (Tensor, Tensor, Tensor)",
    _implementation,
    _fake,
)
