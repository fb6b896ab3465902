"""Arms as points with intervals, single runs as dots, one panel a data set."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaufuse.experiment.statistics import estimate
from gaufuse.experiment.summary import Summary
from gaufuse.experiment.tables import INTERVALS, with_interval
from gaufuse.utils.extras import not_installed
from gaufuse.utils.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 2
COLOURS = {1: "#1b7837", 0: "#4d4d4d", -1: "#b2182b"}  # above its control, undecided, below


def save_plot(summary: Summary, path: str | Path) -> None:
    """Draws the summary into a file, of the kind that its suffix names (.svg, .png).

    Raises:
        ValueError: matplotlib is not installed, or there is nothing to draw.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure  # no global state, no display
    except ImportError:
        raise not_installed("a plot needs matplotlib", "plot") from None
    data = summary.data
    if not data:
        raise ValueError("there is no finished run to draw")
    columns = min(COLUMNS, len(data))
    rows = -(-len(data) // columns)
    height = 0.9 + 0.3 * len(summary.arms)
    # Text as text and no date: the same records give the same, small file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gaufuse"}):
        figure = Figure(figsize=(6.6 * columns, height * rows + 0.5), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).flat
        for panel, name in zip(panels, data, strict=False):
            _draw(panel, summary, name)
        for panel in list(panels)[len(data) :]:
            panel.set_axis_off()
        note = (
            "Points: means over seeds; small dots: seeds; bars: "
            f"{INTERVALS[summary.method]} of the mean. Numbers: paired difference to the control. "
            "Green and red: its interval lies above or below zero."
        )
        figure.supxlabel("\n".join(textwrap.wrap(note, 75 * columns)), fontsize="small")
        suffix = Path(path).suffix
        metadata = {"Date": None} if suffix == ".svg" else None
        picture = io.BytesIO()
        figure.savefig(picture, format=suffix[1:] or None, dpi=120, metadata=metadata)
    write_atomically(path, lambda file: file.write(picture.getvalue()))


def _draw(panel: Axes, summary: Summary, data: str) -> None:
    arms = [arm for arm in summary.arms if (data, arm) in summary.results]
    for control in dict.fromkeys(summary.control(arm) for arm in arms):
        if control is not None and (data, control) in summary.results:
            panel.axvline(summary.results[data, control].mean, color="0.8", linewidth=1.0, zorder=0)
    for row, arm in enumerate(arms):
        values = list(summary.results[data, arm].values.values())
        mean = estimate(values, summary.method)
        difference = summary.difference(data, arm, summary.control(arm))
        colour = COLOURS[0 if difference is None else difference.sign]
        spread = row + np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else [row]
        panel.plot(values, spread, ".", color=colour, alpha=0.45, markersize=4.0)
        if mean.low is not None and mean.high is not None:
            panel.plot([mean.low, mean.high], [row, row], color=colour, linewidth=1.4)
        panel.plot([mean.mean], [row], "o", color=colour, markersize=6.0)
        if difference is not None:
            panel.annotate(
                with_interval(difference).replace("*", ""),
                (1.01, row),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize="small",
                color=colour,
            )
    panel.set(title=data, xlabel="average mAP (%)", yticks=range(len(arms)), yticklabels=arms)
    panel.set_ylim(len(arms) - 0.5, -0.5)
    panel.grid(axis="x", color="0.93")
    panel.set_axisbelow(True)
