"""Programs solved by HiGHS."""

from __future__ import annotations

import threading

import highspy
import numpy as np

from gaufuse_ext.linpro.program import Infeasible, Optimum, Program

_thread = threading.local()


def solve(program: Program) -> Optimum:
    """An optimal point and its reduced costs.

    One Highs object per thread is kept: a new one costs several times as much as a small program.

    Raises:
        Infeasible: no point satisfies the constraints.
        RuntimeError: HiGHS gave up.
    """
    solver = _solver()
    solver.passModel(_model(program))
    status = _run(solver)
    if status == highspy.HighsModelStatus.kOptimal:
        solution = solver.getSolution()
        return Optimum(np.array(solution.col_value), np.array(solution.col_dual))
    if status in (
        highspy.HighsModelStatus.kInfeasible,
        highspy.HighsModelStatus.kUnboundedOrInfeasible,
    ):
        raise Infeasible
    raise RuntimeError(f"HiGHS ended with status {solver.modelStatusToString(status)}")


def _run(solver: highspy.Highs) -> highspy.HighsModelStatus:
    """HiGHS keeps one scheduler a thread and refuses any number of threads but the scheduler's.
    Where other code of this process made it, use that one as it is: simplex is serial anyway."""
    failed = solver.run() == highspy.HighsStatus.kError
    if failed and solver.getModelStatus() == highspy.HighsModelStatus.kNotset:
        solver.setOptionValue("threads", 0)
        solver.run()
    return solver.getModelStatus()


class _SilentHighs(highspy.Highs):
    """HiGHS 1.16 prints a banner to stdout while it is made, where callbacks are enabled; stdout
    belongs to whoever calls us (JSON, tables)."""

    def enableCallbacks(self) -> None:
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()


def _solver() -> highspy.Highs:
    if not hasattr(_thread, "solver"):
        solver = _SilentHighs()
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("presolve", "off")  # dearer than the solve, at these sizes
        solver.setOptionValue("threads", 1)
        solver.setOptionValue("solver", "simplex")
        solver.setOptionValue("primal_feasibility_tolerance", 1e-9)
        solver.setOptionValue("dual_feasibility_tolerance", 1e-9)
        _thread.solver = solver
    return _thread.solver


def _model(program: Program) -> highspy.HighsLp:
    model = highspy.HighsLp()
    rows, columns = program.matrix.shape
    model.num_col_ = columns
    model.num_row_ = rows
    model.col_cost_ = program.cost
    model.col_lower_ = program.lower
    model.col_upper_ = program.upper
    model.row_lower_ = program.row_lower
    model.row_upper_ = program.row_upper
    nonzero = program.matrix.T != 0
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.concatenate([[0], np.cumsum(nonzero.sum(axis=1))]).astype(np.int32)
    model.a_matrix_.index_ = np.nonzero(nonzero)[1].astype(np.int32)
    model.a_matrix_.value_ = program.matrix.T[nonzero]
    return model
