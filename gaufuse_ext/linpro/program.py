"""A bounded linear program with dense rows, as the solvers take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Program:
    """min cost @ v  s.t.  row_lower <= matrix @ v <= row_upper,  lower <= v <= upper."""

    cost: np.ndarray  # (V,)
    lower: np.ndarray  # (V,)
    upper: np.ndarray  # (V,)
    matrix: np.ndarray  # (R, V)
    row_lower: np.ndarray  # (R,)
    row_upper: np.ndarray  # (R,)


class Optimum(NamedTuple):
    """A solution, and what each variable would cost at its bound."""

    point: np.ndarray  # (V,)
    reduced_costs: np.ndarray  # (V,)


class Infeasible(Exception):
    """No point satisfies the program's constraints."""
