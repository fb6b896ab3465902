"""Multi-threshold proposals of activation sequences, scored by outer-inner contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import group_sizes
from gaufuse_ext._library import _native, call_native, define_operation
from gaufuse_ext.ops.count_proposals import (
    Sequences,
    check_sequences,
    count,
    sequence_workspace,
)

UNCOUNTED_BYTES = 64 << 20  # of outputs on CUDA that are not worth a wait for the device
CUT_BYTES = 16 << 10  # of one group's outputs on the CPU that are not worth counting before


class Proposals(NamedTuple):
    """Scored segments, padded with zeros past `counts`; G is absent for unbatched input."""

    segments: torch.Tensor  # (G, P, 2) start, end in snippets
    scores: torch.Tensor  # (G, P) outer-inner contrast q
    weights: torch.Tensor  # (G, P) inner mean u
    counts: torch.Tensor  # (G,) int64


@works_in_forked_child
def threshold_proposals(
    cas: torch.Tensor,
    thresholds: torch.Tensor | Sequence[float],
    lengths: _checks.Counts = None,
    *,
    min_length: int = 2,
    margin: float = 0.0785,
    margin_power: float = 0.9,
    max_proposals: int | None = None,
) -> Proposals:
    """Turns class activation sequences into scored proposals (paper section 3; method section 3).

    Shapes differ between the CPU and elsewhere: P is the largest count of a group where that is
    worth knowing, and else the worst case: on CUDA, where counting waits for the device, up to 64
    MiB of outputs, and whenever a graph is captured; under torch.compile, where shapes may not
    depend on values. Valid entries are the same to the bit; `max_proposals` gives one shape
    everywhere, and is worth stating for long sequences on CUDA.

    For each threshold, every maximal run [s, e) of ``cas > threshold`` with at least `min_length`
    snippets is a proposal, in the order of thresholds, then time. Conventions are the release's:
    the stored segment is [s, e + 1]; ``inner`` is the mean of snippets s..e (clipped); the ring
    reaches ``margin * (e - s) ** margin_power`` snippets to both sides; the score is the
    outer-inner contrast ``inner - outer``, the weight is ``inner``.

    Args:
        cas: (G, T) activations, or (T,) for one group; float32 or float64 (float16 and bfloat16
            are computed, and returned, as float32). CPU or CUDA.
        thresholds: (H,) tensor or sequence, compared in float64; or (G, H), for thresholds
            relative to a sequence's range.
        lengths: (G,) valid snippets of each sequence; all T by default.
        min_length: shortest run, in snippets.
        margin, margin_power: reach of the ring. RSKP: 0.25, 1.
        max_proposals: room for proposals of a group, P. If it is too small, those of the last
            thresholds are dropped (`count_proposals` tells where). By default nothing is: see
            above; the worst case is H * ((T + 1) // (min_length + 1)).

    Not differentiable: results carry no gradient.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN or infinite activations or
            thresholds (on CUDA values are not read back, so not checked: they cannot lead out of
            bounds).
    """
    sequences = check_sequences(cas, thresholds, lengths)
    min_length = _checks.check_integer("min_length", min_length, 1)
    margin = _checks.check_not_negative("margin", margin)
    margin_power = _checks.check_not_negative("margin_power", margin_power)
    if max_proposals is not None:
        capacity, is_cut = _checks.check_integer("max_proposals", max_proposals, 0), False
    else:
        capacity, is_cut = _room(sequences, min_length)
    result = Proposals(*_operation(*sequences, capacity, min_length, margin, margin_power))
    if not is_cut:
        return result
    found = int(result.counts)
    segments, scores, weights, counts = result
    return Proposals(segments[:found], scores[:found], weights[:found], counts)


def _room(sequences: Sequences, min_length: int) -> tuple[int, bool]:
    """The largest number of proposals of a group, counted where that takes less than it saves; and
    whether it is the worst case, to be cut to what is found."""
    cas, thresholds, _ = sequences
    groups, num_snippets = group_sizes(cas.shape)
    most = thresholds.shape[-1] * ((num_snippets + 1) // (min_length + 1))
    if torch.compiler.is_compiling():
        return most, False
    size = groups * most * 4 * cas.element_size()
    if cas.device.type == "cuda":  # counting waits for the device, which capturing cannot
        if size <= UNCOUNTED_BYTES or torch.cuda.is_current_stream_capturing():
            return most, False
    elif cas.dim() == 1 and size <= CUT_BYTES:
        return most, True
    if groups == 0:
        return 0, False
    return int(count(sequences, min_length).max()), False


def _allocate(cas: torch.Tensor, capacity: int) -> Proposals:
    groups = cas.shape[:-1]
    return Proposals(
        cas.new_empty(*groups, capacity, 2),
        cas.new_empty(*groups, capacity),
        cas.new_empty(*groups, capacity),
        cas.new_empty(groups, dtype=torch.int64),
    )


def _implementation(
    cas: torch.Tensor,
    thresholds: torch.Tensor,
    lengths: torch.Tensor | None,
    capacity: int,
    min_length: int,
    margin: float,
    margin_power: float,
) -> tuple[torch.Tensor, ...]:
    cas = cas.contiguous()
    groups, num_snippets = group_sizes(cas.shape)
    out = _allocate(cas, capacity)
    call_native(
        _native.threshold_proposals,
        cas,
        cas=cas,
        thresholds=thresholds,
        lengths=lengths,
        segments=out.segments,
        scores=out.scores,
        weights=out.weights,
        counts=out.counts,
        workspace=sequence_workspace(cas, thresholds.shape[-1]),
        groups=groups,
        num_snippets=num_snippets,
        num_thresholds=thresholds.shape[-1],
        capacity=capacity,
        min_length=min_length,
        margin=margin,
        margin_power=margin_power,
        thresholds_per_group=thresholds.dim() == 2,
    )
    return tuple(out)


def _fake(
    cas: torch.Tensor,
    thresholds: torch.Tensor,
    lengths: torch.Tensor | None,
    capacity: int,
    *_: object,
) -> tuple[torch.Tensor, ...]:
    return tuple(_allocate(cas, capacity))


_operation = define_operation(
    "threshold_proposals(Tensor cas, Tensor thresholds, Tensor? lengths, SymInt capacity, "
    "int min_length, float margin, float margin_power) -> (Tensor, Tensor, Tensor, Tensor)",
    _implementation,
    _fake,
)
