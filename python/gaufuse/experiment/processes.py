"""Runs as processes of their own, one thread each."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gaufuse.experiment.definition import Cell

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
PATIENCE_SECONDS = 5.0  # of a process that was asked to end


@dataclass
class Run:
    """A process that trains."""

    cell: Cell
    process: subprocess.Popen[bytes]
    started: float

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.started


def command_of(cell: Cell, data: Path, output: Path) -> list[str]:
    """The command line of a cell's run; its process ends with this one, and goes on where an
    earlier one stopped."""
    return [
        *(sys.executable, "-m", "gaufuse.experiment.child", str(os.getpid()), cell.kind),
        *(str(data), "--output", str(output)),
        *cell.arguments,
        *("--seed", str(cell.seed), "--threads", "1", "--resume"),
    ]


def start(cell: Cell, command: list[str], log: Path) -> Run:
    """Starts it in a session of its own, so that Ctrl-C at the terminal reaches us alone."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | ONE_THREAD,
            start_new_session=True,
        )
    return Run(cell, process, time.monotonic())


def end_all(runs: list[Run]) -> None:
    """Asks the processes to end, and after a while makes them."""
    for run in runs:
        _signal(run, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for run in runs:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(max(0.0, deadline - time.monotonic()))
        _signal(run, signal.SIGKILL)  # also what it may have started
        run.process.wait()


def _signal(run: Run, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.process.pid, number)
