"""LinPro's labels, and what is known of how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import torch

from gaufuse_ext._fork import works_in_forked_child
from gaufuse_ext.linpro.explain import Conflict, find_conflicts
from gaufuse_ext.linpro.instances import Instances

T = TypeVar("T")


class LinproStatus(StrEnum):
    """How a group's labels came about; compares equal to its text."""

    OPTIMAL = "optimal"
    RELAXED = "relaxed"  # hard constraints were infeasible: least l1 residual instead
    EMPTY = "empty"  # no instance, or no instance that covers a snippet
    UNSOLVED = "unsolved"  # backend="native" on CUDA left the group: its labels are zero


# In the order of gaufuse::LinproStatus.
STATUSES = (
    LinproStatus.EMPTY,
    LinproStatus.OPTIMAL,
    LinproStatus.UNSOLVED,
    LinproStatus.RELAXED,
)
UNSOLVED = STATUSES.index(LinproStatus.UNSOLVED)
RELAXED = STATUSES.index(LinproStatus.RELAXED)


@dataclass(frozen=True)
class LinproLabels:
    """Labels of G groups; without the G axis (and one status) for unbatched input."""

    labels: torch.Tensor  # (G, T) in [0, 1], zero outside of instances and rings
    _figures: torch.Tensor = field(repr=False)  # (3, G) float64: objective, residual, gap
    _numbers: torch.Tensor = field(repr=False)  # (2, G) int64: pivots, codes
    _instances: Instances = field(repr=False)
    _rows: str = field(repr=False)

    @property
    @works_in_forked_child
    def objective(self) -> torch.Tensor:
        """(G,) in the dtype of the labels."""
        return self._figures[0].to(self.labels.dtype)

    @property
    @works_in_forked_child
    def residual(self) -> torch.Tensor:
        """(G,) sum over instances of ``|M x - q|``, in the dtype of the labels."""
        return self._figures[1].to(self.labels.dtype)

    @property
    def gap(self) -> torch.Tensor:
        """(G,) float64: between objective and dual bound, relative; NaN where HiGHS solved."""
        return self._figures[2]

    @property
    def pivots(self) -> torch.Tensor:
        """(G,) int64, simplex pivots of the native solver."""
        return self._numbers[0]

    @property
    def codes(self) -> torch.Tensor:
        """(G,) int64, statuses as numbers: reading `status` waits for the device."""
        return self._numbers[1]

    @property
    @works_in_forked_child
    def status(self) -> list[LinproStatus] | LinproStatus:
        """(G,)"""
        return _per_group(self.codes, [STATUSES[code] for code in self.codes.reshape(-1).tolist()])

    @property
    @works_in_forked_child
    def relaxed(self) -> torch.Tensor:
        """(G,) bool, without waiting for the device: whose status is "relaxed"."""
        return self.codes == RELAXED

    @property
    @works_in_forked_child
    def by_highs(self) -> torch.Tensor:
        """(G,) bool, without waiting for the device: whose labels HiGHS made."""
        return self.gap.isnan()

    @property
    def backend(self) -> list[str] | str:
        """(G,) "native" or "highs"."""
        by_highs = self.by_highs.reshape(-1).tolist()
        return _per_group(self.codes, ["highs" if by else "native" for by in by_highs])

    @works_in_forked_child
    def explain(self, group: int = 0) -> list[Conflict]:
        """The instances of a group whose confidences the labels do not meet, the worst first: by
        how much, and which overlapping instances pull the other way. Empty where all are met.

        Raises:
            IndexError: there is no such group.
        """
        instances = self._instances.as_batch()
        groups = len(instances.scores)
        if not 0 <= group < groups:
            raise IndexError(f"group must lie in [0, {groups}), got {group}")
        labels = self.labels if self.labels.dim() == 1 else self.labels[group]
        labels = labels[: instances.length(group, len(labels))]
        return find_conflicts(
            *instances.on_host([group]).group(0), labels.double().cpu().numpy(), self._rows
        )


def _per_group(codes: torch.Tensor, values: list[T]) -> list[T] | T:
    return values if codes.dim() else values[0]
