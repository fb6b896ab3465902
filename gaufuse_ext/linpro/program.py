"""A bounded linear program with sparse rows, as the solvers take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Entries(NamedTuple):
    """What of a matrix is not zero, in any order; no place twice."""

    rows: np.ndarray  # (Z,) int
    columns: np.ndarray  # (Z,) int
    values: np.ndarray  # (Z,)

    def and_also(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> Entries:
        """With further ones."""
        parts = zip(self, (rows, columns, values), strict=True)
        return Entries(*(np.concatenate(pair) for pair in parts))


@dataclass(frozen=True)
class Program:
    """min cost @ v  s.t.  row_lower <= matrix @ v <= row_upper,  lower <= v <= upper."""

    cost: np.ndarray  # (V,)
    lower: np.ndarray  # (V,)
    upper: np.ndarray  # (V,)
    matrix: Entries  # (R, V)
    row_lower: np.ndarray  # (R,)
    row_upper: np.ndarray  # (R,)


class Optimum(NamedTuple):
    """A solution, and what each variable would cost at its bound."""

    point: np.ndarray  # (V,)
    reduced_costs: np.ndarray  # (V,)


class Infeasible(Exception):
    """No point satisfies the program's constraints."""
