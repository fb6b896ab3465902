"""Interactive figures by Bokeh, which a page embeds: lines over epochs, and bars by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gaufuse.report.colours import DATA, LIGHT, RUNS
from gaufuse.report.tables import NOTHING, Table, with_interval
from gaufuse.report.video_bootstrap import Interval
from gaufuse.utils.extras import not_installed

DASHES = ("solid", "dashed")
MARKERS = ("circle", "square")
HATCHES = (" ", "/")
TIP = "font: 13px system-ui, sans-serif; color: #1b1b1c; background: #fff"


@dataclass(frozen=True)
class PageFigure:
    """A figure, what it shows in words, and its numbers for those who cannot see it."""

    title: str
    summary: str
    item: dict[str, Any]  # Bokeh's JSON
    table: Table
    height: int
    runs: list[str] = field(default_factory=list)  # a legend, where there are several
    notes: list[str] = field(default_factory=list)
    seconds: float | None = None  # the x axis can be zoomed into; its whole length


@dataclass(frozen=True)
class Line:
    """A line of one run."""

    run: str
    x: Sequence[float]
    y: Sequence[float]


def check_bokeh() -> None:
    """
    Raises:
        ValueError: it is not installed.
    """
    try:
        import bokeh  # noqa: F401
    except ImportError:
        raise not_installed("a report needs bokeh", "report") from None


def bokeh_script() -> str:
    """Bokeh's core, without widgets, WebGL and mathematical text."""
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh"], minified=True).js_raw)


def plain(text: str) -> Any:
    """Text that nothing in it turns into a formula."""
    from bokeh.models import PlainText

    return PlainText(text=text)


def lines_over_epochs(
    title: str, lines: list[Line], runs: list[str], marks: bool = False
) -> PageFigure:
    """A line a run. marks: few points, each of which is to be seen."""
    from bokeh import models

    plot = empty_plot(230, "epoch")
    plot.yaxis.formatter = models.BasicTickFormatter(use_scientific=False)
    for line in lines:
        which = runs.index(line.run)
        source = models.ColumnDataSource({"x": floats(line.x), "y": floats(line.y)})
        colour = DATA[RUNS[which]]
        looks = {"line_color": colour, "line_width": 2, "line_dash": DASHES[which]}
        drawn = plot.add_glyph(source, models.Line(x="x", y="y", **looks))
        if marks:
            looks = {"marker": MARKERS[which], "line_color": colour, "fill_color": colour}
            plot.add_glyph(source, models.Scatter(x="x", y="y", size=8, **looks))
        add_hover(plot, [drawn], "epoch @x<br>@y{0.0000}")
    epochs = sorted({epoch for line in lines for epoch in line.x})
    values = {line.run: dict(zip(line.x, line.y, strict=True)) for line in lines}
    table = Table(
        f"{title}, by epoch",
        ["epoch", *values],
        [
            [f"{epoch:g}", *(_cell(own.get(epoch)) for own in values.values())]
            for epoch in _few(epochs)
        ],
    )
    return PageFigure(title, _course(title, lines), item_of(plot), table, 230, runs)


def bars_by_class(
    title: str, classes: list[str], values: dict[str, list[Interval]], runs: list[str]
) -> PageFigure:
    """Bars with whiskers, the classes one below the other, a bar a run."""
    from bokeh import models

    each = 22 * len(values) + 8
    height = 60 + each * len(classes)
    plot = empty_plot(height, "average mAP (%)")
    plot.x_range.start, plot.x_range.end = 0, 100
    rows = -np.arange(len(classes), dtype=np.float32)
    thick = 0.8 / len(values)
    for place, (run, intervals) in enumerate(values.items()):
        which = runs.index(run)
        y = rows + 0.4 - thick * (place + 0.5)
        columns = {
            name: floats([getattr(own, name) for own in intervals])
            for name in ("value", "low", "high")
        }
        source = models.ColumnDataSource({"y": y, **columns})
        colour = DATA[RUNS[which]]
        bar = models.HBar(
            y="y",
            right="value",
            height=0.9 * thick,
            fill_color=colour,
            line_color=colour,
            fill_alpha=0.25,
            hatch_pattern=HATCHES[which],
            hatch_color=colour,
        )
        drawn = plot.add_glyph(source, bar)
        whisker = {"x0": "low", "y0": "y", "x1": "high", "y1": "y", "line_width": 3}
        plot.add_glyph(source, models.Segment(**whisker, line_color=colour))
        add_hover(plot, [drawn], "@value{0.0} [@low{0.0}, @high{0.0}]")
    plot.yaxis.ticker = models.FixedTicker(ticks=[float(row) for row in rows])
    plot.yaxis.major_label_overrides = {
        float(row): plain(name[:24]) for row, name in zip(rows, classes, strict=True)
    }
    plot.ygrid.visible = False
    table = Table(
        f"{title}: average mAP (%) with its interval",
        ["class", *values],
        [
            [name, *(with_interval(own[i]) for own in values.values())]
            for i, name in enumerate(classes)
        ],
    )
    first = next(iter(values.values()))
    order = np.argsort([own.value for own in first])
    summary = (
        f"Bars of {len(classes)} classes. Of {next(iter(values))}, best: "
        f"{classes[order[-1]]} ({first[order[-1]].value:.1f} %), worst: {classes[order[0]]} "
        f"({first[order[0]].value:.1f} %)."
    )
    return PageFigure(title, summary, item_of(plot), table, height, runs)


def empty_plot(height: int, x_label: str) -> Any:
    """A figure that is as wide as its place, without a toolbar: the page has buttons."""
    from bokeh.plotting import figure

    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools=[],
        x_axis_label=x_label,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_right=12,
    )
    plot.toolbar.logo = None
    for axis in (plot.xaxis, plot.yaxis):
        axis.axis_label_text_color = axis.major_label_text_color = LIGHT["text"]
        axis.axis_line_color = axis.major_tick_line_color = LIGHT["muted"]
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "13px"
    plot.xgrid.grid_line_color = plot.ygrid.grid_line_color = LIGHT["grid"]
    return plot


def add_hover(plot: Any, renderers: list[Any], text: str) -> None:
    """text: our own; names come in by columns, which Bokeh escapes."""
    from bokeh.models import HoverTool

    plot.add_tools(
        HoverTool(
            renderers=renderers,
            tooltips=f'<div style="{TIP}">{text}</div>',
            point_policy="follow_mouse",
        )
    )


def item_of(plot: Any) -> dict[str, Any]:
    """What Bokeh embeds a figure by."""
    from bokeh.embed import json_item

    return dict(json_item(plot))


def floats(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Half as long on the page as float64."""
    return np.asarray(values, dtype=np.float32)


def _cell(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4g}"


def _few(epochs: list[float], most: int = 40) -> list[float]:
    """Of many epochs about as many as one reads, the last one among them."""
    step = -(-len(epochs) // most)
    return epochs[::-1][::step][::-1]


def _course(title: str, lines: list[Line]) -> str:
    parts = [
        f"{line.run} from {line.y[0]:.4g} in epoch {line.x[0]:g} to {line.y[-1]:.4g} in epoch "
        f"{line.x[-1]:g}"
        for line in lines
    ]
    return f"Lines over epochs: {title}. " + "; ".join(parts) + "."
