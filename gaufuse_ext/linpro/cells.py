"""Exact reduction of a LinPro program: from snippets to cells, from a video to components.

The time axis is cut at every instance and ring boundary. Snippets of one cell have equal columns,
costs and bounds, so some optimum is constant on each cell (average over the cell: the objective is
convex, and the variation along an instance does not grow), and the program over T snippets equals
one over at most 4K + 1 cells weighted by their lengths. Instances that share no cell do not
interact: connected components are solved alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gaufuse_ext.ops.interval_membership import interval_membership


@dataclass(frozen=True)
class Component:
    """Instances that interact, over the cells that they cover or ring."""

    instances: np.ndarray  # (K,) indices into the group's instances
    confidences: np.ndarray  # (K,) q
    weights: np.ndarray  # (K,) w, positive
    starts: np.ndarray  # (C,) first snippet of each cell
    lengths: np.ndarray  # (C,) snippets of each cell
    rows: np.ndarray  # (K, C) membership value of one snippet of the cell
    inside: np.ndarray  # (K, C) bool: the instance covers the cell

    @property
    def sizes(self) -> np.ndarray:
        """(K,) snippets that each instance covers."""
        sizes: np.ndarray = self.inside @ self.lengths
        return sizes

    @property
    def targets(self) -> np.ndarray:
        """(K,) confidences, at most one beyond what M x can reach for x in [0, 1].

        The rest of the way adds a constant to every |M x - q|: no optimum changes, and a solver
        neither takes a huge confidence for infinity nor loses its tolerances to it.
        """
        amounts = self.rows * self.lengths
        least = np.minimum(amounts, 0.0).sum(axis=1)
        most = np.maximum(amounts, 0.0).sum(axis=1)
        targets: np.ndarray = np.clip(self.confidences, least - 1.0, most + 1.0)
        return targets

    @property
    def anchors(self) -> np.ndarray:
        """(C,) weighted mean confidence of the instances that cover a cell; zero where none does.

        A convex combination: it cannot overflow."""
        weights = self.weights[:, None] * self.inside
        shares = weights / np.where(self.inside.any(axis=0), weights.sum(axis=0), 1.0)
        anchors: np.ndarray = (shares * self.confidences[:, None]).sum(axis=0)
        return anchors


def reduce_to_components(
    segments: np.ndarray,
    confidences: np.ndarray,
    weights: np.ndarray,
    num_snippets: int,
    mode: str,
) -> list[Component]:
    """Components of one group of (K, 2) instances with confidences and weights (K,); mode as for
    `interval_membership`."""
    if len(segments) == 0 or num_snippets == 0:
        return []
    rows = interval_membership(torch.from_numpy(segments), num_snippets, mode=mode).numpy()
    # Cut where any row changes; a cell then has one value in every row.
    changes = np.flatnonzero((rows[:, 1:] != rows[:, :-1]).any(axis=0)) + 1
    starts = np.concatenate([[0], changes])
    lengths = np.diff(np.concatenate([starts, [num_snippets]]))
    rows = rows[:, starts]
    return [
        Component(
            instances=members,
            confidences=confidences[members],
            weights=weights[members],
            starts=starts[cells],
            lengths=lengths[cells].astype(np.float64),
            rows=rows[np.ix_(members, cells)],
            inside=rows[np.ix_(members, cells)] > 0,
        )
        for members, cells in _connected(rows != 0)
    ]


def _connected(touches: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Connected (instances, cells) of a bool matrix (K, C) whose rows are true on one stretch each.
    An instance that touches no cell is a component without cells."""
    some = touches.any(axis=1)
    first = touches.argmax(axis=1)
    end = touches.shape[1] - touches[:, ::-1].argmax(axis=1)
    order = np.flatnonzero(some)
    order = order[np.argsort(first[order], kind="stable")]
    reach = np.maximum.accumulate(end[order])
    breaks = np.flatnonzero(first[order][1:] >= reach[:-1]) + 1
    components = [
        (np.sort(members), np.arange(first[members].min(), end[members].max()))
        for members in np.split(order, breaks)
        if len(members)
    ]
    nothing = np.arange(0)
    return components + [(np.array([alone]), nothing) for alone in np.flatnonzero(~some)]
