"""Programs solved by HiGHS, on threads of our own.

HiGHS keeps one scheduler a thread, made by the first run there, and from then on refuses any other
number of threads. On a caller's thread we would decide that number for the caller's own models, or
find it decided by them. So nothing is ever solved on a thread that is not ours.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import highspy
import numpy as np

from gaufuse_ext.linpro.program import Infeasible, Optimum, Program

Item = TypeVar("Item")
Result = TypeVar("Result")

_thread = threading.local()
_pools: dict[int, ThreadPoolExecutor] = {}  # by the number of threads; a forked child has none
_pools_lock = threading.Lock()


def _forget_pools() -> None:
    global _pools_lock
    _pools.clear()
    _pools_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_pools)


def map_on_own_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """The results in order, made by so many of our threads, on which `solve` may be called.
    HiGHS works without the interpreter's lock."""
    threads = max(1, threads)
    with _pools_lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, "gaufuse-highs", _mark_as_ours)
        pool = _pools[threads]
    return pool.map(function, items)


def _mark_as_ours() -> None:
    _thread.ours = True


def solve(program: Program) -> Optimum:
    """An optimal point and its reduced costs.

    One Highs object per thread is kept: a new one costs several times as much as a small program.

    Raises:
        Infeasible: no point satisfies the constraints.
        RuntimeError: HiGHS gave up.
    """
    if not getattr(_thread, "ours", False):
        return next(map_on_own_threads(solve, [program], 1))
    solver = _solver()
    solver.passModel(_model(program))
    solver.run()
    status = solver.getModelStatus()
    if status == highspy.HighsModelStatus.kOptimal:
        solution = solver.getSolution()
        return Optimum(np.array(solution.col_value), np.array(solution.col_dual))
    if status in (
        highspy.HighsModelStatus.kInfeasible,
        highspy.HighsModelStatus.kUnboundedOrInfeasible,
    ):
        raise Infeasible
    raise RuntimeError(f"HiGHS ended with status {solver.modelStatusToString(status)}")


class _SilentHighs(highspy.Highs):
    """HiGHS 1.16 prints a banner to stdout while it is made, where callbacks are enabled; stdout
    belongs to whoever calls us (JSON, tables)."""

    def enableCallbacks(self) -> None:
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()


def _solver() -> highspy.Highs:
    if not hasattr(_thread, "solver"):
        solver: highspy.Highs = _SilentHighs()
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("presolve", "off")  # dearer than the solve, at these sizes
        solver.setOptionValue("threads", 1)
        solver.setOptionValue("solver", "simplex")
        solver.setOptionValue("primal_feasibility_tolerance", 1e-9)
        solver.setOptionValue("dual_feasibility_tolerance", 1e-9)
        _thread.solver = solver
    kept: highspy.Highs = _thread.solver
    return kept


def _model(program: Program) -> highspy.HighsLp:
    model = highspy.HighsLp()
    rows, columns = len(program.row_lower), len(program.cost)
    model.num_col_ = columns
    model.num_row_ = rows
    model.col_cost_ = program.cost
    model.col_lower_ = program.lower
    model.col_upper_ = program.upper
    model.row_lower_ = program.row_lower
    model.row_upper_ = program.row_upper
    entries = program.matrix
    order = np.lexsort((entries.rows, entries.columns))
    counts = np.bincount(entries.columns, minlength=columns)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    model.a_matrix_.index_ = entries.rows[order].astype(np.int32)
    model.a_matrix_.value_ = entries.values[order]
    return model
