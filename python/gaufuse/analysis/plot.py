"""An analysis in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gaufuse.analysis.analyse import Analysis
from gaufuse.analysis.error_types import ERRORS
from gaufuse.analysis.instance_groups import Characteristic
from gaufuse.utils.extras import not_installed
from gaufuse.utils.files import write_atomically

# Okabe and Ito: told apart by the colour-blind, too.
COLOURS = ("#009e73", "#56b4e9", "#cc79a7", "#e69f00", "#d55e00", "#999999")
SECOND = "#0072b2"
SUFFIXES = (".png", ".svg", ".pdf")
MOST_CLASSES = 40  # whose names fit


def save_plot(analyses: Sequence[Analysis], names: Sequence[str], path: str | Path) -> None:
    """One model, or two side by side.

    Raises:
        ValueError: matplotlib is not installed, or a suffix that is not one of SUFFIXES.
        WriteError: it cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"a plot must be named {', '.join(SUFFIXES)}, got {path}")
    try:
        import matplotlib
        from matplotlib.figure import Figure  # no global state, no display
    except ImportError:
        raise not_installed("a plot needs matplotlib", "plot") from None
    # Text as text and no date: the same analysis gives the same, small file.
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "gaufuse", "text.parse_math": False}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(16.0, 6.2 * len(analyses)), layout="constrained")
        rows = figure.subfigures(len(analyses), 1, squeeze=False)[:, 0]
        for row, analysis, name in zip(rows, analyses, names, strict=True):
            row.suptitle(f"{name}: average mAP {analysis.average_map:.2f} %")
            panels = row.subplots(2, 4)
            _draw(panels.flat, analysis)
        date = {".svg": "Date", ".pdf": "CreationDate"}.get(suffix)
        write_atomically(
            path,
            lambda file: figure.savefig(
                file, format=suffix[1:], dpi=120, metadata={date: None} if date else None
            ),
        )


def _draw(panels: Any, analysis: Analysis) -> None:
    panels = list(panels)
    _draw_profile(panels[0], analysis)
    _draw_gains(panels[1], analysis)
    _draw_confusion(panels[2], analysis)
    _draw_calibration(panels[3], analysis)
    for panel, characteristic in zip(panels[4:], analysis.characteristics, strict=False):
        _draw_characteristic(panel, characteristic)
    _draw_classes(panels[7], analysis)


def _draw_profile(panel: Any, analysis: Analysis) -> None:
    own = 100.0 * analysis.shares()
    ks = np.arange(1, len(own) + 1)
    below = np.zeros(len(own))
    for kind, values, colour in zip(analysis.kinds, own.T, COLOURS, strict=True):
        panel.bar(ks, values, bottom=below, color=colour, label=kind, width=0.85)
        below = below + values
    panel.set(
        title=f"top kG detections, tIoU {analysis.settings.tiou:g}",
        xlabel="k",
        ylabel="share (%)",
        xticks=ks,
        ylim=(0, 100),
    )
    panel.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=3)


def _draw_gains(panel: Any, analysis: Analysis) -> None:
    names = [*ERRORS, "misses"]
    places = np.arange(len(names))
    colours = [*COLOURS[1:], "#000000"]
    panel.barh(places, [analysis.gains.removed[name] for name in names], color=colours)
    for place, name in enumerate(names):
        if name in analysis.gains.corrected:
            panel.plot(analysis.gains.corrected[name], place, "D", color="black", markersize=5)
    panel.set(title="what errors cost", xlabel="gain of average mAP (points), diamonds: corrected")
    panel.set_yticks(places, names)
    panel.invert_yaxis()


def _draw_confusion(panel: Any, analysis: Analysis) -> None:
    matrix = np.array(analysis.confusion, dtype=float)
    names = [*analysis.classes, "nothing"]
    total = matrix.sum(axis=1, keepdims=True)
    panel.imshow(
        np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0),
        cmap="cividis",
        vmin=0.0,
        vmax=1.0,
        aspect="auto",
        interpolation="nearest",
    )
    panel.set(title="instances (rows) and their detections", xlabel="detected as")
    if len(names) <= MOST_CLASSES:
        panel.set_yticks(range(len(names)), names, fontsize=5)
        panel.set_xticks(range(len(names)), [*analysis.classes, "missed"], fontsize=5, rotation=90)


def _draw_calibration(panel: Any, analysis: Analysis) -> None:
    panel.set(title="calibration", xlabel="score", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    if analysis.calibration is None:
        panel.text(0.5, 0.5, "scores are not in [0, 1]", ha="center", va="center")
        return
    panel.plot([0, 1], [0, 1], color="0.6", linewidth=1.0)
    bins = [part for part in analysis.calibration.bins if part.detections]
    panel.plot([x.score for x in bins], [x.precision for x in bins], "o-", color=SECOND)
    panel.text(0.05, 0.92, f"expected error {analysis.calibration.error:.3f}")


def _draw_characteristic(panel: Any, characteristic: Characteristic) -> None:
    groups = [group for group in characteristic.groups if group.instances]
    panel.set(title=f"{characteristic.name} ({characteristic.unit})", ylabel="%")
    panel.set_ylim(0.0, 115.0)  # room for the legend above
    panel.set_yticks(range(0, 101, 20))
    if not groups:
        panel.text(0.5, 0.5, "not known", ha="center", va="center", transform=panel.transAxes)
        return
    places = np.arange(len(groups))
    panel.bar(
        places - 0.2, [g.average_map for g in groups], 0.4, color=COLOURS[0], label="normalised mAP"
    )
    panel.bar(places + 0.2, [g.missed for g in groups], 0.4, color=COLOURS[4], label="missed")
    labels = [f"to {g.high:.3g}\n{g.instances}" for g in groups]
    panel.set_xticks(places, labels, fontsize="x-small")
    panel.legend(fontsize="x-small", loc="upper center", ncols=2)


def _draw_classes(panel: Any, analysis: Analysis) -> None:
    ranked = sorted(analysis.per_class.items(), key=lambda item: item[1])
    panel.barh(range(len(ranked)), [value for _, value in ranked], color=COLOURS[0])
    panel.set(title="classes", xlabel="AP (%)", xlim=(0, 100))
    if len(ranked) <= MOST_CLASSES:
        panel.set_yticks(range(len(ranked)), [name for name, _ in ranked], fontsize=5)
    else:
        panel.set_yticks([])
