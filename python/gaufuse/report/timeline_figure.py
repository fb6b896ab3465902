"""One video's timeline as an interactive figure, by one or two runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gaufuse.report.colours import DATA, LIGHT
from gaufuse.report.figures import PageFigure, add_hover, empty_plot, floats, item_of, plain
from gaufuse.report.tables import Table
from gaufuse.report.timeline import SIGNED, BarRow, CurveRow, Row, Timeline, curve, heights, rows_of
from gaufuse.report.timeline_plot import row_label, shortened

ROW_PIXELS = {"class": 26, "cas": 44, "proposals": 34, "labels": 34, "delta": 34}
TRUTH_TIP = "@left{0.0} s to @right{0.0} s"
SCORE_TIP = f"{TRUTH_TIP}<br>score @score{{0.000}}"
VALUE_TIP = f"{TRUTH_TIP}<br>@value{{0.000}}"
MOST_ROWS = 60  # of the table beside a figure, and of a kind


def timeline_figure(title: str, timelines: Sequence[tuple[str, Timeline]]) -> PageFigure:
    """
    Args:
        timelines: the run's name, "" where there is one alone, and what it made of the video.
    """
    from bokeh.models import FixedTicker, Label, PanTool, Range1d, WheelZoomTool

    first = timelines[0][1]
    rows = rows_of(timelines)
    sizes = np.array([ROW_PIXELS.get(row.kind, 24) for row in rows], dtype=np.float64)
    bottoms = -np.cumsum(sizes)
    height = int(sizes.sum()) + 60
    plot = empty_plot(height, "seconds")
    plot.x_range = Range1d(0.0, first.seconds, bounds=(0.0, first.seconds))
    plot.y_range = Range1d(float(bottoms[-1]) if rows else -1.0, 0.0)
    plot.ygrid.visible = False
    plot.add_tools(
        PanTool(dimensions="width"),
        WheelZoomTool(dimensions="width", modifiers={"ctrl": True}),
    )
    plot.toolbar.active_scroll = next(t for t in plot.tools if isinstance(t, WheelZoomTool))
    ticks: list[float] = []
    names: dict[float, Any] = {}
    hovers: dict[str, list[Any]] = {}
    for row, bottom, size in zip(rows, bottoms, sizes, strict=True):
        if not isinstance(row, BarRow | CurveRow):
            heading = Label(x=4, x_units="screen", y=bottom + 5, y_units="data")
            heading.text = plain(shortened(row.text))
            heading.text_font_size, heading.text_font_style = "14px", "bold"
            heading.text_color = LIGHT["text"]
            plot.add_layout(heading)
            continue
        renderer, tip = _draw(plot, row, bottom, size)
        hovers.setdefault(tip, []).append(renderer)
        ticks.append(float(bottom + 0.42 * size))
        names[ticks[-1]] = plain(row_label(row))
    for tip, renderers in hovers.items():
        add_hover(plot, renderers, tip)
    plot.yaxis.ticker = FixedTicker(ticks=ticks)
    plot.yaxis.major_label_overrides = names
    plot.yaxis.axis_line_color = plot.yaxis.major_tick_line_color = None
    notes = [
        f"{name}: {own.note}." if name else f"{own.note[:1].upper()}{own.note[1:]}."
        for name, own in timelines
        if own.note
    ]
    if first.others:
        notes.append(f"Not drawn: {first.others} other classes with detections or annotations.")
    return PageFigure(
        title,
        _summary(timelines),
        item_of(plot),
        _table(title, rows),
        height,
        notes=notes,
        seconds=first.seconds,
    )


def _draw(plot: Any, row: BarRow | CurveRow, bottom: float, size: float) -> tuple[Any, str]:
    """The row's renderer, and what its hover says."""
    from bokeh.models import ColumnDataSource, Segment

    colour, room = DATA[row.kind], 0.84 * size
    if isinstance(row, BarRow):
        start, end = row.bars.segments.T
        columns = {
            "left": floats(start),
            "right": floats(end),
            "top": floats(bottom + room * heights(row)),
            "score": floats(row.bars.scores),
        }
        if row.kind == "proposals":
            glyph = Segment(
                x0="left", y0="top", x1="right", y1="top", line_color=colour, line_alpha=0.7
            )
        else:
            alpha = 1.0 if row.kind == "truth" else 0.55
            glyph = _quad(bottom, fill_color=colour, line_color=colour, fill_alpha=alpha)
        tip = TRUTH_TIP if row.kind == "truth" else SCORE_TIP
        return plot.add_glyph(ColumnDataSource(columns), glyph), tip
    zero = bottom + (0.5 * room if row.kind == SIGNED else 0.0)
    columns = {
        "left": floats(row.edges[:-1]),
        "right": floats(row.edges[1:]),
        "top": floats(bottom + room * curve(row)),
        "value": floats(row.values),
    }
    glyph = _quad(zero, fill_color=colour, line_color=None, fill_alpha=0.8)
    return plot.add_glyph(ColumnDataSource(columns), glyph), VALUE_TIP


def _quad(bottom: float, **looks: object) -> Any:
    from bokeh.models import Quad

    return Quad(left="left", right="right", bottom=bottom, top="top", **looks)


def _summary(timelines: Sequence[tuple[str, Timeline]]) -> str:
    first = timelines[0][1]
    parts = []
    for name, timeline in timelines:
        for own in timeline.classes:
            truth = 0 if own.truth is None else len(own.truth.segments)
            found = 0 if own.detections is None else len(own.detections.segments)
            parts.append(f"{name} {own.label}: {truth} annotated, {found} detections".strip())
    return f"Timeline of {first.video}, {first.seconds:.0f} seconds. " + "; ".join(parts) + "."


def _table(title: str, rows: list[Row]) -> Table:
    """Ground truth, instances and detections, the best of each."""
    lines, label = [], ""
    for row in rows:
        if row.kind == "class":
            label = row.text
        if not isinstance(row, BarRow) or row.kind == "proposals":
            continue
        order = np.argsort(-row.bars.scores, kind="stable")[:MOST_ROWS]
        for i in order:
            start, end = row.bars.segments[i]
            score = "" if row.kind == "truth" else f"{row.bars.scores[i]:.3f}"
            lines.append([row.text, label, f"{start:.1f}", f"{end:.1f}", score])
    return Table(f"Segments of {title}", ["what", "class", "from (s)", "to (s)", "score"], lines)
