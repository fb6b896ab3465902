"""Plain tables: every cell is text, the first of a row names it."""

from __future__ import annotations

from dataclasses import dataclass

from gaufuse.report.video_bootstrap import Interval

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Table:
    """A caption, a header, and rows of as many cells."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    prose: bool = False  # cells are text, which may break anywhere


def number(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A number, or a dash for None and NaN."""
    if value is None or value != value:
        return NOTHING
    return f"{value:{'+' if sign else ''}.{digits}f}"


def with_interval(value: Interval, sign: bool = False) -> str:
    """Such as 44.1 [36.8, 46.7], which breaks before the bracket alone."""
    low, high = number(value.low, 1, sign), number(value.high, 1, sign)
    return f"{number(value.value, 1, sign)} [{low},\N{NO-BREAK SPACE}{high}]"
