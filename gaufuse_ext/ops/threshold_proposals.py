"""Multi-threshold proposals of activation sequences, scored by outer-inner contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import unbatch
from gaufuse_ext._library import _native, call_native, define_operation


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

    Shapes differ between the CPU and elsewhere: P is the largest count of a group where it is known
    in time (eager, on the CPU), and the worst case on CUDA, where counting would wait for the
    device, and under torch.compile, where shapes may not depend on values. Valid entries are the
    same to the bit; `max_proposals` gives one shape everywhere.

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
        max_proposals: room for proposals of a group, P. By default nothing is dropped: see above;
            the worst case is H * ((T + 1) // (min_length + 1)). If it is too small, the proposals
            of the last thresholds are dropped.

    Not differentiable: results carry no gradient.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; NaN or infinite activations or
            thresholds (on CUDA values are not read back, so not checked: they cannot lead out of
            bounds).
    """
    if isinstance(cas, torch.Tensor) and cas.dtype in (torch.float16, torch.bfloat16):
        cas = cas.float()
    cas = _checks.check_tensor("cas", cas, "(G, T), or (T,) for one group,", (1, 2))
    batched = cas.dim() == 2
    cas = cas.detach() if batched else cas.detach().unsqueeze(0)
    groups, num_snippets = cas.shape
    thresholds = _check_thresholds(thresholds, groups, cas.device)
    if lengths is not None:
        lengths = _checks.check_counts("lengths", lengths, groups, cas.device)
    _checks.check_integer("min_length", min_length, 1)
    _checks.check_not_negative("margin", margin)
    _checks.check_not_negative("margin_power", margin_power)
    if max_proposals is not None:
        capacity = _checks.check_integer("max_proposals", max_proposals, 0)
    elif cas.device.type == "cpu" and not torch.compiler.is_compiling():
        capacity = _most_proposals(cas, thresholds, lengths, min_length)
    else:
        capacity = thresholds.shape[-1] * ((num_snippets + 1) // (min_length + 1))
    result = Proposals(
        *_operation(cas, thresholds, lengths, capacity, min_length, margin, margin_power)
    )
    return result if batched else unbatch(result)


def _check_thresholds(
    thresholds: torch.Tensor | Sequence[float], groups: int, device: torch.device
) -> torch.Tensor:
    if not isinstance(thresholds, torch.Tensor):
        try:
            thresholds = torch.tensor(thresholds, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(
                f"thresholds must hold numbers, got {_checks.describe(thresholds)}"
            ) from error
        # Under torch.compile the branch would break the graph; the CPU kernel checks too.
        if not torch.compiler.is_compiling() and not bool(torch.isfinite(thresholds).all()):
            raise ValueError(f"thresholds must be finite, got {thresholds.tolist()}")
    elif thresholds.is_complex() or thresholds.dtype == torch.bool:
        raise TypeError(f"thresholds must hold numbers, got {_checks.describe(thresholds)}")
    shared = thresholds.dim() == 1
    if not shared and (thresholds.dim() != 2 or thresholds.shape[0] != groups):
        raise ValueError(
            f"thresholds must have shape (H,) or ({groups}, H), got {_checks.describe(thresholds)}"
        )
    return thresholds.to(device=device, dtype=torch.float64).contiguous()


def _most_proposals(
    cas: torch.Tensor, thresholds: torch.Tensor, lengths: torch.Tensor | None, min_length: int
) -> int:
    """The largest number of proposals of a group, on the CPU: counting costs much less than
    writing the padding of the worst case."""
    cas = cas.contiguous()
    groups, num_snippets = cas.shape
    if groups == 0:
        return 0
    counts = torch.empty(groups, dtype=torch.int64)
    call_native(
        _native.count_proposals,
        cas,
        cas,
        thresholds,
        lengths,
        counts,
        groups,
        num_snippets,
        thresholds.shape[-1],
        min_length,
        thresholds.dim() == 2,
    )
    return int(counts.max())


def _allocate(cas: torch.Tensor, capacity: int) -> Proposals:
    groups = cas.shape[0]
    return Proposals(
        cas.new_empty((groups, capacity, 2)),
        cas.new_empty((groups, capacity)),
        cas.new_empty((groups, capacity)),
        cas.new_empty((groups,), dtype=torch.int64),
    )


def _implementation(cas, thresholds, lengths, capacity, min_length, margin, margin_power):
    cas = cas.contiguous()
    groups, num_snippets = cas.shape
    out = _allocate(cas, capacity)
    workspace = None
    if cas.is_cuda:  # what does not fit into shared memory
        each = _native.proposals_workspace(num_snippets, thresholds.shape[-1])
        workspace = cas.new_empty((groups, each), dtype=torch.int32) if each else None
    call_native(
        _native.threshold_proposals,
        cas,
        cas,
        thresholds,
        lengths,
        *out,
        workspace,
        groups,
        num_snippets,
        thresholds.shape[-1],
        capacity,
        min_length,
        margin,
        margin_power,
        thresholds.dim() == 2,
    )
    return tuple(out)


def _fake(cas, thresholds, lengths, capacity, min_length, margin, margin_power):
    return tuple(_allocate(cas, capacity))


_operation = define_operation(
    "threshold_proposals(Tensor cas, Tensor thresholds, Tensor? lengths, SymInt capacity, "
    "int min_length, float margin, float margin_power) -> (Tensor, Tensor, Tensor, Tensor)",
    _implementation,
    _fake,
)
