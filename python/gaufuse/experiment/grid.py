"""Runs the cells of an experiment that have no record yet, side by side."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from gaufuse.experiment import outcome, processes
from gaufuse.experiment.definition import Cell
from gaufuse.experiment.inputs import DataFolders, unset_variable
from gaufuse.experiment.progress import CellProgress, typical_seconds
from gaufuse.experiment.provenance import versions
from gaufuse.experiment.records import append_record, identity_key, latest_by_identity
from gaufuse.model.checkpoint import latest_checkpoint
from gaufuse.training.run_folder import RunFolder
from gaufuse.utils.files import ensure_writable_folder, remove_folder

POLL_SECONDS = 0.05


@dataclass
class Plan:
    """What is to be done. Cells of equal identity are one run."""

    waiting: list[tuple[Cell, str]] = field(default_factory=list)  # with its inputs' digest
    finished: list[Cell] = field(default_factory=list)
    without_data: dict[str, str] = field(default_factory=dict)  # data set: unset variable


def make_plan(cells: list[Cell], folders: DataFolders, records: list[dict], again: bool) -> Plan:
    """Prepares the data sets and sorts out what has been run already.

    Args:
        again: finished cells are run once more.
    """
    plan = Plan()
    seen: set[str] = set()
    done = latest_by_identity(records)
    for cell in cells:
        key = identity_key(cell.identity)
        variable = unset_variable(cell)
        if variable is not None:
            plan.without_data[cell.data] = variable
            continue
        if key in seen:
            continue
        seen.add(key)
        inputs = folders.inputs_digest(cell)
        if not again and key in done and done[key]["inputs"] == inputs:
            plan.finished.append(cell)
        else:
            plan.waiting.append((cell, inputs))
    return plan


class Grid:
    """Runs a plan's cells; `run()` returns those that failed."""

    def __init__(
        self,
        folders: DataFolders,
        output: Path,
        records: Path,
        workers: int,
        keep: bool,
        console: Console,
    ):
        self.folders = folders
        self.runs = output / "runs"
        self.output = output
        self.records = records
        self.workers = workers
        self.keep = keep
        self.console = console

    def run(self, plan: Plan, earlier: list[dict]) -> list[Cell]:
        """Runs the cells that wait, and appends a record of each as it ends.

        Args:
            earlier: records, whose times tell how long cells will take.
        """
        ensure_writable_folder(self.runs)
        waiting = deque(plan.waiting)
        typical = typical_seconds(earlier)
        running: list[_Started] = []
        failed: list[Cell] = []
        total = len(plan.waiting) + len(plan.finished)
        with CellProgress(self.console, total, len(plan.finished), self.workers) as progress:
            try:
                while waiting or running:
                    while waiting and len(running) < self.workers:
                        running.append(self._start(*waiting.popleft()))
                    for started in [s for s in running if s.run.process.poll() is not None]:
                        running.remove(started)
                        record = self._end(started)
                        typical.add(record)
                        if record["status"] == "failed":
                            failed.append(started.run.cell)
                            self._tell(started, record)
                        progress.advance(_said(started.run.cell, record))
                    progress.left(typical.left([c for c, _ in waiting], [s.run for s in running]))
                    time.sleep(POLL_SECONDS)
            finally:
                processes.end_all([started.run for started in running])
        return failed

    def _start(self, cell: Cell, inputs: str) -> _Started:
        name = f"{cell.name.replace('/', '_')}-{inputs[:8]}"
        folder, log, code = (self.runs / f"{name}{end}" for end in ("", ".log", ".code"))
        made_by = versions()
        # Half of a run made by other code is not gone on with.
        if not code.is_file() or code.read_text() != str(made_by):
            remove_folder(folder)
            code.write_text(str(made_by))
        about = {
            "seconds": 0.0,
            "resumed": latest_checkpoint(folder / "checkpoints") is not None,
            "workers": self.workers,
            "versions": made_by,
        }
        data = self.folders[cell]
        command = processes.command_of(cell, data, folder)
        return _Started(processes.start(cell, command, log), inputs, folder, log, code, about)

    def _end(self, started: _Started) -> dict:
        cell, about = started.run.cell, started.about
        about["seconds"] = round(started.run.seconds, 2)
        status = started.run.process.returncode
        printed = started.log.read_text(errors="replace")
        if status == 0:
            try:
                record = outcome.finished(cell, started.inputs, RunFolder(started.folder), about)
            except ValueError as error:
                status, printed = 1, f"{printed}\n{error}"
        if status != 0:
            hidden = {
                str(self.folders[cell]): cell.path or "DATA",
                str(self.folders[cell].resolve()): cell.path or "DATA",
                str(self.output): "OUTPUT",
                str(self.output.resolve()): "OUTPUT",
            }
            printed += f"\nexit status {status}"
            record = outcome.failed(cell, started.inputs, printed, hidden, about)
        append_record(self.records, record)
        if not self.keep:
            remove_folder(started.folder)
            started.code.unlink(missing_ok=True)
            if status == 0:
                started.log.unlink()
        return record

    def _tell(self, started: _Started, record: dict) -> None:
        last = record["error"].splitlines()[-3:]
        self.console.print(
            f"{started.run.cell.name} failed; its output is in {started.log}:\n  "
            + "\n  ".join(last),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


@dataclass
class _Started:
    run: processes.Run
    inputs: str
    folder: Path
    log: Path
    code: Path  # which code began it
    about: dict


def _said(cell: Cell, record: dict) -> str:
    if record["status"] == "failed":
        return f"{cell.name} failed"
    return f"{cell.name} {record['average_map']:.2f}"
