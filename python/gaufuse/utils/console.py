"""What a person sees: progress while a run goes on, tables when it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

from rich import box
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
UNCUT = 10_000  # columns of what is no terminal: a log can be as wide as its widest line


def make_console(stderr: bool = False, quiet: bool = False) -> Console:
    """Text is printed as it is: names of videos, classes and files come from outside, and what
    looks like markup or an emoji in them is neither. Nothing is cut where nobody's window ends."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNCUT
    return Console(
        stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False, width=width
    )


class SlimTable(Table):
    """A table without lines between its columns, of which only text is folded where a terminal is
    too narrow for it: ten tIoU thresholds fit into 80 columns."""

    def __init__(self, title: str | None = None, **options: Any):
        super().__init__(
            title=title,
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 0),
            **options,
        )

    def add_text(self, header: str = "", **options: Any) -> None:
        """A column of text, which is folded where the terminal is too narrow."""
        self.add_column(header, overflow="fold", **options)

    def add_numbers(self, header: str, **options: Any) -> None:
        """A column that is never cut or folded between its digits, at the right."""
        self.add_column(header, justify="right", no_wrap=True, overflow="fold", **options)


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
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
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
        """One more of the total is done; `note` stands at the end of the line."""
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
    rows: Iterable[tuple[str, Iterable[float], float]], iou_thresholds: Iterable[float]
) -> Table:
    """Rows of (name, mAP per threshold, average mAP), all in percent."""
    table = SlimTable("mAP (%) at tIoU")
    table.add_text()
    for threshold in iou_thresholds:
        table.add_numbers(f"{threshold:.3g}")
    table.add_numbers("mean", style="bold")
    for name, values, average in rows:
        table.add_row(name, *(f"{value:.1f}" for value in values), f"{average:.2f}")
    return table
