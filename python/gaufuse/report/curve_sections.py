"""What a run's log says, over epochs: losses, mAP, pseudo labels."""

from __future__ import annotations

from collections.abc import Sequence

from gaufuse.report.figures import Line, lines_over_epochs
from gaufuse.report.run_input import RunInput
from gaufuse.report.sections import Section


def curves_section(runs: Sequence[RunInput]) -> Section:
    """Average mAP at each evaluation, and each loss, by epoch."""
    section = Section("curves", "Training curves")
    names = [run.name for run in runs]
    lines: dict[str, list[Line]] = {}
    for run in runs:
        for loss, line in _series(run, "losses").items():
            lines.setdefault(loss, []).append(line)
    evaluations = []
    for run in runs:
        points = {e.epoch: e.average_map for e in run.facts.metrics.evaluations}
        found = {epoch: value for epoch, value in points.items() if value is not None}
        if found:
            evaluations.append(Line(run.name, list(found), list(found.values())))
    if evaluations:
        title = "Average mAP of the test videos (%)"
        section.figures.append(lines_over_epochs(title, evaluations, names, marks=True))
    for loss, own in lines.items():
        section.figures.append(lines_over_epochs(f"Loss: {loss}", own, names))
    if not section.figures:
        section.text.append("The log has no losses.")
    return section


LABEL_TITLES = {
    "average_precision": "Average precision of labels",
    "calibration_error": "Calibration error of labels",
    "best_gain": "Gain of the change that would have been best",
    "coverage": "Share of snippets with a label",
    "confidence": "Mean label where there is one",
    "change": "Mean change since last refresh",
}


def label_section(runs: Sequence[RunInput]) -> Section:
    """How good, how many and how sure the pseudo labels were at each refresh."""
    section = Section("labels", "Pseudo labels over refreshes")
    names = [run.name for run in runs]
    for kind in ("label_quality", "refresh"):
        series = {run.name: _series(run, kind) for run in runs}
        for key, title in LABEL_TITLES.items():
            lines = [own[key] for own in series.values() if key in own]
            if lines:
                section.figures.append(lines_over_epochs(title, lines, names, marks=True))
    without = [run.name for run in runs if not run.facts.records("label_quality")]
    if without and section.figures:
        section.text.append(
            f"Not measured against annotations: {', '.join(without)} (the training videos have no "
            "segments, labels are made online, or the run is of an earlier version)."
        )
    if section.figures:
        section.text.append(
            "Average precision and calibration error are against annotated segments, whether a "
            "snippet lies in one, over the labelled classes of each training video; so is the "
            "gain, the multiple of the change since the labels before that, added to them, would "
            "have been nearest to the truth (of labels that are 0 or 1: 0 if all changes were "
            "right, -0.5 if half were, as by chance). Training itself does not see these segments."
        )
    else:
        section.text.append("No labels were made at a refresh.")
    return section


def _series(run: RunInput, kind: str) -> dict[str, Line]:
    points: dict[str, tuple[list[float], list[float]]] = {}
    for epoch, values in run.facts.records(kind):
        for name, value in values.items():
            x, y = points.setdefault(name, ([], []))
            x.append(epoch)
            y.append(value)
    return {name: Line(run.name, x, y) for name, (x, y) in points.items()}
