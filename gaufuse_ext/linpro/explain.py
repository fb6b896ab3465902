"""Which confidences of a group contradict one another, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gaufuse_ext.ops.interval_membership import interval_membership

MET = 1e-6  # a confidence that is missed by no more counts as met


@dataclass(frozen=True)
class Conflict:
    """An instance whose confidence the labels do not meet."""

    instance: int  # its place in the group
    segment: tuple[float, float]  # snippets
    confidence: float  # q: what (M x) should be
    reached: float  # what it is
    against: tuple[int, ...]  # overlapping instances whose confidences pull the other way

    @property
    def missed(self) -> float:
        """By how much, of a confidence in [0, 1]; not negative."""
        return abs(self.reached - self.confidence)

    def __str__(self) -> str:
        start, end = self.segment
        text = (
            f"instance {self.instance} [{start:g}, {end:g}) should reach {self.confidence:.4g} and "
            f"reaches {self.reached:.4g}"
        )
        if self.against:
            return f"{text}, against {', '.join(map(str, self.against))}"
        return f"{text}, out of the range of labels in [0, 1]"


def find_conflicts(
    segments: np.ndarray,
    confidences: np.ndarray,
    weights: np.ndarray,
    labels: np.ndarray,
    mode: str,
) -> list[Conflict]:
    """Conflicts of a group, the worst miss first.

    Args:
        segments: (K, 2). confidences, weights: (K,). labels: (T,).
        mode: of the rows of M, as for `interval_membership`.
    """
    if len(segments) == 0:
        return []
    rows = interval_membership(torch.from_numpy(segments), len(labels), mode=mode).numpy()
    reached = rows @ labels
    touches = (rows != 0).astype(np.float64)
    meets = touches @ touches.T > 0
    # `uniform` leaves out what covers no snippet; in `released` it can only be missed.
    counts = (weights > 0) & ((rows > 0).any(axis=1) if mode != "contrast" else True)
    conflicts = []
    for i in np.flatnonzero(counts & (np.abs(reached - confidences) > MET)):
        other_way = (confidences - confidences[i]) * (reached[i] - confidences[i]) > 0
        conflicts.append(
            Conflict(
                int(i),
                (float(segments[i, 0]), float(segments[i, 1])),
                float(confidences[i]),
                float(reached[i]),
                tuple(np.flatnonzero(counts & meets[i] & other_way).tolist()),
            )
        )
    return sorted(conflicts, key=lambda conflict: -conflict.missed)
