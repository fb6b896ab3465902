"""Batched interval-membership matrices."""

from __future__ import annotations

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import group_sizes
from gaufuse_ext._library import _native, call_native, define_operation

MODES = ("contrast", "mean", "contrast_mean")  # in the order of gaufuse::Membership


@works_in_forked_child
def interval_membership(
    segments: torch.Tensor,
    num_snippets: int,
    counts: _checks.Counts = None,
    *,
    mode: str = "contrast",
    margin: float = 0.0785,
    margin_power: float = 0.9,
    lengths: _checks.Counts = None,
) -> torch.Tensor:
    """Rows of the LinPro constraints: which snippets an instance covers (method section 4).

    An instance [s, e) covers snippets ``int(s) .. int(e) - 1``; its outer ring reaches
    ``margin * (int(e) - int(s)) ** margin_power`` snippets to both sides, release conventions.

    Args:
        segments: (G, N, 2) or (N, 2) in snippets; float32 or float64; CPU or CUDA.
        num_snippets: T.
        counts: (G,) valid segments of each group; all N by default.
        mode: "contrast": +1 inside, -1 in the ring. "mean": 1 / n inside, 0 elsewhere.
            "contrast_mean": 1 / n_inside inside, -1 / n_ring in the ring.
        lengths: (G,) valid snippets of each group, where the ring is clipped; T by default.

    Returns:
        (G, N, T), or (N, T), of the dtype of `segments`; zeros past counts and lengths. A row
        whose instance covers no snippet has no inside. It carries no gradient.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN, infinity, or end < start (on
            CUDA values are not read back, so not checked).
    """
    segments = _checks.check_segments("segments", segments)
    num_snippets = _checks.check_integer("num_snippets", num_snippets, 0)
    kind = MODES.index(_checks.check_choice("mode", mode, MODES))
    margin = _checks.check_not_negative("margin", margin)
    power = _checks.check_not_negative("margin_power", margin_power)
    groups, device = group_sizes(segments.shape[:-1])[0], segments.device
    if counts is not None:
        counts = _checks.check_counts("counts", counts, groups, device)
    if lengths is not None:
        lengths = _checks.check_counts("lengths", lengths, groups, device)
    return _operation(segments.detach(), counts, lengths, num_snippets, margin, power, kind)


def _implementation(
    segments: torch.Tensor,
    counts: torch.Tensor | None,
    lengths: torch.Tensor | None,
    num_snippets: int,
    margin: float,
    margin_power: float,
    mode: int,
) -> torch.Tensor:
    segments = segments.contiguous()
    groups, capacity = group_sizes(segments.shape[:-1])
    matrix = segments.new_empty(*segments.shape[:-1], num_snippets)
    call_native(
        _native.interval_membership,
        segments,
        segments=segments,
        counts=counts,
        lengths=lengths,
        matrix=matrix,
        groups=groups,
        capacity=capacity,
        num_snippets=num_snippets,
        margin=margin,
        margin_power=margin_power,
        mode=mode,
    )
    return matrix


def _fake(
    segments: torch.Tensor,
    counts: torch.Tensor | None,
    lengths: torch.Tensor | None,
    num_snippets: int,
    *_: object,
) -> torch.Tensor:
    return segments.new_empty(*segments.shape[:-1], num_snippets)


_operation = define_operation(
    "interval_membership(Tensor segments, Tensor? counts, Tensor? lengths, SymInt num_snippets, "
    "float margin, float margin_power, int mode) -> Tensor",
    _implementation,
    _fake,
)
