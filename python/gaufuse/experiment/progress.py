"""How far an experiment is and how long it will take."""

from __future__ import annotations

import time
from collections import defaultdict
from statistics import fmean

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gaufuse.experiment.definition import Cell
from gaufuse.experiment.processes import Run

LINE_EVERY_SECONDS = 30.0  # where there is no terminal to draw a bar on


class TypicalSeconds:
    """Times of runs by data set and arm: a cell takes what its like took, as far as known."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def add(self, record: dict) -> None:
        """Learns from a record, unless the run failed or was interrupted."""
        if record["status"] == "finished" and not record["resumed"]:
            for key in ((record["data"], record["arm"]), (record["data"],), ()):
                self._known[key].append(record["seconds"])

    def of(self, cell: Cell) -> float | None:
        """Seconds that the cell will take: as its arm on its data, else as any; None: not known."""
        for key in ((cell.data, cell.arm), (cell.data,), ()):
            if key in self._known:
                return fmean(self._known[key])
        return None

    def left(self, waiting: list[Cell], running: list[Run]) -> float | None:
        """Seconds of work left, of all workers together; None while nothing is known."""
        if () not in self._known:
            return None
        ahead = sum(self.of(cell) or 0.0 for cell in waiting)
        return ahead + sum(max(0.0, (self.of(run.cell) or 0.0) - run.seconds) for run in running)


def typical_seconds(records: list[dict]) -> TypicalSeconds:
    """What earlier runs took."""
    typical = TypicalSeconds()
    for record in records:
        typical.add(record)
    return typical


class CellProgress:
    """One bar on a terminal; elsewhere a line every half minute."""

    def __init__(self, console: Console, total: int, done: int, workers: int):
        self._console = console
        self._total = total
        self._done = done
        self._workers = workers
        self._left = "time left unknown"
        self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "cells", total=total, completed=done, left=self._left, note=""
        )

    def __enter__(self) -> CellProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def left(self, seconds: float | None) -> None:
        """Tells how much work is left; None: not known, what was said before stays.

        Args:
            seconds: of work, which the workers share.
        """
        if seconds is not None:
            self._left = f"{duration(seconds / self._workers)} left"
            self._bar.update(self._task, left=self._left)

    def advance(self, note: str) -> None:
        """One more cell has ended; `note` says how."""
        self._done += 1
        self._bar.update(self._task, advance=1, note=note)
        now = time.monotonic()
        last = self._done == self._total
        if not self._console.is_terminal and (last or now - self._printed >= LINE_EVERY_SECONDS):
            self._printed = now
            self._console.print(
                f"cells {self._done}/{self._total}, {self._left}  {note}", soft_wrap=True
            )


def duration(seconds: float) -> str:
    """In the unit that a person would take: "40 s", "12 min", "3.5 h"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
