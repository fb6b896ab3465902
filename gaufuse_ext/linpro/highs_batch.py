"""The groups of a batch that are left to HiGHS."""

from __future__ import annotations

import numpy as np
import torch

from gaufuse_ext._fork import kernel_threads
from gaufuse_ext.linpro import highs
from gaufuse_ext.linpro.group import Solution, solve_group
from gaufuse_ext.linpro.instances import Instances
from gaufuse_ext.linpro.labels import STATUSES, LinproStatus
from gaufuse_ext.linpro.terms import LinproTerms


def solve_by_highs(
    groups: list[int],
    terms: LinproTerms,
    instances: Instances,
    labels: torch.Tensor,
    figures: torch.Tensor,
    numbers: torch.Tensor,
) -> None:
    """Solves groups of a batch and writes their labels (G, T), figures (3, G) and numbers (2, G):
    one copy down, one up.

    Raises:
        ValueError: a group's segments, scores or weights are not finite.
    """
    num_snippets = labels.shape[1]
    given = instances.on_host(groups)

    def solve(row: int) -> Solution:
        arguments = given.group(row)
        if not all(np.isfinite(x).all() for x in arguments):  # only on CUDA has nobody checked
            raise ValueError(
                f"segments, scores and weights must be finite, those of group {groups[row]} are not"
            )
        length = given.length(row, num_snippets)
        return solve_group(*arguments, length, terms, highs.solve)

    rows = np.zeros((len(groups), num_snippets + 5))
    threads = min(kernel_threads(), len(groups))
    solutions = highs.map_on_own_threads(solve, range(len(groups)), threads)
    for row, solution in zip(rows, solutions, strict=True):
        row[: len(solution.labels)] = solution.labels
        status = LinproStatus.EMPTY if solution.empty else LinproStatus.OPTIMAL
        status = LinproStatus.RELAXED if solution.relaxed else status
        code = STATUSES.index(status)
        row[num_snippets:] = solution.objective, solution.residual, np.nan, 0, code
    table = torch.from_numpy(rows).to(labels.device)
    index = torch.tensor(groups, device=labels.device)
    labels[index] = table[:, :num_snippets].to(labels)
    figures[:, index] = table[:, num_snippets : num_snippets + 3].T
    numbers[:, index] = table[:, num_snippets + 3 :].T.to(numbers)
