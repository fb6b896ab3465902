"""How many multi-threshold proposals sequences have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from gaufuse_ext import _checks
from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext._groups import group_sizes
from gaufuse_ext._library import _native, call_native, define_operation


class Sequences(NamedTuple):
    """Checked arguments; (T,) and (1,) of one group."""

    cas: torch.Tensor  # (G, T) float32 or float64
    thresholds: torch.Tensor  # (H,) or (G, H) float64
    lengths: torch.Tensor | None  # (G,) int64


@works_in_forked_child
def count_proposals(
    cas: torch.Tensor,
    thresholds: torch.Tensor | Sequence[float],
    lengths: _checks.Counts = None,
    *,
    min_length: int = 2,
) -> torch.Tensor:
    """How many proposals `threshold_proposals` finds for the same arguments, whatever the room.

    So that memory can be allocated for what there is, not for the worst case, and to see whether
    some `max_proposals` dropped anything: ``(count_proposals(...) > max_proposals).any()``. Writes
    8 bytes a group, takes about as long as reading `cas`, and never waits for the device.

    Args:
        cas, thresholds, lengths, min_length: as for `threshold_proposals`.

    Returns:
        (G,) int64; () for unbatched input.

    Raises:
        TypeError, ValueError: as `threshold_proposals`.
    """
    sequences = check_sequences(cas, thresholds, lengths)
    return count(sequences, _checks.check_integer("min_length", min_length, 1))


def count(sequences: Sequences, min_length: int) -> torch.Tensor:
    """(G,) int64, or () of one group: count_proposals of what is checked already."""
    return _operation(sequences.cas, sequences.thresholds, sequences.lengths, min_length)


def check_sequences(
    cas: object,
    thresholds: torch.Tensor | Sequence[float],
    lengths: _checks.Counts,
) -> Sequences:
    """What operations on sequences and thresholds take.

    Raises:
        TypeError, ValueError: shapes, dtypes or devices that do not fit.
    """
    if isinstance(cas, torch.Tensor) and cas.dtype in (torch.float16, torch.bfloat16):
        cas = cas.float()
    cas = _checks.check_tensor("cas", cas, "(G, T), or (T,) for one group,", (1, 2))
    groups = group_sizes(cas.shape)[0]
    thresholds = _check_thresholds(thresholds, groups, cas.device)
    if lengths is not None:
        lengths = _checks.check_counts("lengths", lengths, groups, cas.device)
    return Sequences(cas.detach(), thresholds, lengths)


def sequence_workspace(cas: torch.Tensor, num_thresholds: int) -> torch.Tensor | None:
    """What does not fit into a CUDA block's shared memory, for up to 1,024 blocks."""
    if not cas.is_cuda:
        return None
    groups, num_snippets = group_sizes(cas.shape)
    size = _native.proposals_workspace(
        groups=groups, num_snippets=num_snippets, num_thresholds=num_thresholds
    )
    return cas.new_empty((size,), dtype=torch.int32) if size else None


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
        if not torch.compiler.is_compiling() and not all(
            math.isfinite(threshold) for threshold in thresholds.reshape(-1).tolist()
        ):
            raise ValueError(f"thresholds must be finite, got {thresholds.tolist()}")
    elif thresholds.is_complex() or thresholds.dtype == torch.bool:
        raise TypeError(f"thresholds must hold numbers, got {_checks.describe(thresholds)}")
    shared = thresholds.dim() == 1
    if not shared and (thresholds.dim() != 2 or thresholds.shape[0] != groups):
        raise ValueError(
            f"thresholds must have shape (H,) or ({groups}, H), got {_checks.describe(thresholds)}"
        )
    return thresholds.to(device=device, dtype=torch.float64).contiguous()


def _implementation(
    cas: torch.Tensor, thresholds: torch.Tensor, lengths: torch.Tensor | None, min_length: int
) -> torch.Tensor:
    cas = cas.contiguous()
    groups, num_snippets = group_sizes(cas.shape)
    counts = cas.new_empty(cas.shape[:-1], dtype=torch.int64)
    call_native(
        _native.count_proposals,
        cas,
        cas=cas,
        thresholds=thresholds,
        lengths=lengths,
        segments=None,
        scores=None,
        weights=None,
        counts=counts,
        workspace=sequence_workspace(cas, thresholds.shape[-1]),
        groups=groups,
        num_snippets=num_snippets,
        num_thresholds=thresholds.shape[-1],
        capacity=0,
        min_length=min_length,
        margin=0.0,
        margin_power=0.0,
        thresholds_per_group=thresholds.dim() == 2,
    )
    return counts


def _fake(cas: torch.Tensor, *_: object) -> torch.Tensor:
    return cas.new_empty(cas.shape[:-1], dtype=torch.int64)


_operation = define_operation(
    "count_proposals(Tensor cas, Tensor thresholds, Tensor? lengths, int min_length) -> Tensor",
    _implementation,
    _fake,
)
