"""What a person sees: progress while a run goes on, tables when it ends."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

LINE_EVERY_SECONDS = 10.0  # where there is no terminal to draw a bar on


class ProgressLine:
    """One bar on a terminal; elsewhere a line every few seconds."""

    def __init__(self, console: Console, title: str, total: int, done: int = 0):
        self._console = console
        self._title = title
        self._total = total
        self._done = done
        self._started = self._printed = time.monotonic()
        self._first = done
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> ProgressLine:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, note: str = "") -> None:
        self._done += 1
        self._bar.update(self._task, advance=1, note=note)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._printed >= LINE_EVERY_SECONDS:
            self._printed = now
            pace = (now - self._started) / max(1, self._done - self._first)
            left = pace * (self._total - self._done)
            self._console.print(
                f"{self._title} {self._done}/{self._total}, {left:.0f} s left  {note}",
                soft_wrap=True,
            )


def map_table(
    rows: Iterable[tuple[str, Sequence[float], float]], iou_thresholds: Sequence[float]
) -> Table:
    """Rows of (name, mAP per threshold, average mAP), all in percent."""
    table = Table(title="mAP (%) at tIoU")
    table.add_column("")
    for threshold in iou_thresholds:
        table.add_column(f"{threshold:.3g}", justify="right")
    table.add_column("average", justify="right", style="bold")
    for name, values, average in rows:
        table.add_row(name, *(f"{value:.1f}" for value in values), f"{average:.2f}")
    return table
