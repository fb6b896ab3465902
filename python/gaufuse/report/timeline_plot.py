"""One video's timeline as PNG or SVG, by matplotlib."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gaufuse.report.colours import DATA, LIGHT
from gaufuse.report.timeline import SIGNED, BarRow, CurveRow, Row, Timeline, curve, heights, rows_of
from gaufuse.utils.extras import not_installed
from gaufuse.utils.files import write_atomically

SUFFIXES = (".png", ".svg")
ROW_INCHES = {"class": 0.3, "cas": 0.5, "proposals": 0.4, "labels": 0.4, "delta": 0.4}
LONGEST_NAME = 60


def check_plot(path: str | Path) -> None:
    """
    Raises:
        ValueError: matplotlib is not installed, or the file's name is not one of a picture.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise not_installed("a plot needs matplotlib", "plot") from None
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} must end in {' or '.join(SUFFIXES)}")


def save_timeline(
    timeline: Timeline, path: str | Path, window: tuple[float | None, float | None] = (None, None)
) -> None:
    """
    Args:
        window: the seconds to draw; None: from the start, to the end.

    Raises:
        ValueError, WriteError: see `check_plot`; an empty window, nothing to draw; it cannot be
            written.
    """
    check_plot(path)
    import matplotlib
    from matplotlib.figure import Figure  # no global state, no display

    first = 0.0 if window[0] is None else window[0]
    last = timeline.seconds if window[1] is None else window[1]
    if not first < last:
        raise ValueError(f"there is nothing between {first:g} s and {last:g} s")
    rows = rows_of([("", timeline)])
    if not rows:
        raise ValueError(f"video {timeline.video!r} has neither annotations nor detections")
    sizes = np.array([ROW_INCHES.get(row.kind, 0.3) for row in rows])
    suffix = Path(path).suffix.lower()
    # Text as text and no date: the same video gives the same, small file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gaufuse"}):
        figure = Figure(figsize=(11.0, sizes.sum() + 1.1), layout="constrained")
        axes = figure.subplots()
        bottoms = -np.cumsum(sizes)
        for row, bottom, size in zip(rows, bottoms, sizes, strict=True):
            _draw(axes, row, bottom, size, (first, last))
        _label(axes, rows, bottoms, sizes)
        axes.set_xlim(first, last)
        axes.set_ylim(bottoms[-1] - 0.04, 0.04)
        axes.set_xlabel("seconds")
        axes.set_title(_title(timeline), parse_math=False, loc="left", color=LIGHT["text"])
        metadata = {"Date": None} if suffix == ".svg" else None
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # a glyph no font has
            picture = io.BytesIO()
            figure.savefig(picture, format=suffix[1:], dpi=130, metadata=metadata)
    write_atomically(path, lambda file: file.write(picture.getvalue()))


def _draw(axes: Any, row: Row, bottom: float, size: float, window: tuple[float, float]) -> None:
    colour, room = DATA.get(row.kind), 0.84 * size
    if isinstance(row, BarRow | CurveRow):
        axes.axhline(bottom, color=LIGHT["grid"], linewidth=0.5, zorder=0)
    if isinstance(row, BarRow):
        start, end = row.bars.segments.T
        high = room * heights(row)
        if row.kind == "proposals":  # hundreds, which overlap: lines at the height of their score
            axes.hlines(bottom + high, start, end, color=colour, linewidth=0.7, alpha=0.6)
            return
        axes.bar(
            start,
            high,
            end - start,
            bottom,
            align="edge",
            color=colour,
            alpha=0.55 if row.kind != "truth" else 1.0,
            edgecolor=colour,
            linewidth=0.8,
        )
    if not isinstance(row, CurveRow):
        return
    zero = bottom + (0.5 * room if row.kind == SIGNED else 0.0)
    drawn = bottom + room * curve(row)
    axes.stairs(drawn, row.edges, baseline=zero, fill=True, color=colour, alpha=0.35)
    axes.stairs(drawn, row.edges, baseline=None, color=colour, linewidth=0.9)
    if row.kind == SIGNED:
        axes.plot(window, (zero, zero), color=colour, linewidth=0.5)


def _label(axes: Any, rows: list[Row], bottoms: np.ndarray, sizes: np.ndarray) -> None:
    axes.set_yticks(bottoms + 0.42 * sizes, [row_label(row) for row in rows])
    axes.tick_params(axis="y", length=0)
    for row, text in zip(rows, axes.get_yticklabels(), strict=True):
        text.set_parse_math(False)
        text.set_color(LIGHT["text"])
        text.set_fontweight("bold" if row.kind == "class" else "normal")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def row_label(row: Row) -> str:
    """What stands beside a row, with what its full height stands for where that is not 1."""
    if row.kind == "cas":
        return f"{row.text} (to {row.best:.2g})"
    if isinstance(row, CurveRow) and row.kind == SIGNED:
        return f"{row.text} (±{np.abs(row.values).max(initial=0.0):.2g})"
    return shortened(row.text)


def shortened(name: str) -> str:
    """A name in one line, of which the middle may be left out."""
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    half = LONGEST_NAME // 2 - 1
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


def _title(timeline: Timeline) -> str:
    others = f"   ({timeline.others} other classes detected)" if timeline.others else ""
    return shortened(timeline.video) + others
