"""What goes wrong: which errors the highest detections are, what each costs, which instances
nothing finds (docs/analysis.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gaufuse.analysis.analyse import Analysis, analyse_matched
from gaufuse.analysis.error_types import ERRORS
from gaufuse.report.run_input import RunInput
from gaufuse.report.sections import Section
from gaufuse.report.tables import Table, number

AT = 0.5  # tIoU


def error_section(runs: Sequence[RunInput]) -> Section:
    """Errors and their costs; hits at the top and missed instances of each class."""
    section = Section("errors", "Errors")
    evaluated = [run for run in runs if run.truth]
    if not evaluated:
        section.text.append("No test video has annotations.")
        return section
    analysed = {
        run.name: analyse_matched(run.matched, run.truth, AT)
        for run in evaluated
        if len(run.matched.detections)
    }
    if analysed:
        section.text.append(
            "The highest detections, of each class as many as it has instances, by what they are: "
            "a double detection meets an instance that a better one found; a localization error "
            "overlaps one of its class too little; a wrong label meets one of another class; a "
            "confusion overlaps one of another class too little; background meets nothing."
        )
        section.tables += [_shares(analysed), _costs(analysed)]
    section.text.append(
        "Of each class, as many of the highest detections as it has instances, so that all could "
        "be hits: how many are. Missed instances are those that no detection at all meets."
    )
    for run in evaluated:
        section.tables.append(_table(run))
    return section


def _shares(analysed: dict[str, Analysis]) -> Table:
    kinds = next(iter(analysed.values())).kinds
    rows = [
        [name, *(number(100.0 * share) for share in analysis.shares()[0])]
        for name, analysis in analysed.items()
    ]
    return Table(f"What the highest detections are (%), at tIoU {AT:g}", ["run", *kinds], rows)


def _costs(analysed: dict[str, Analysis]) -> Table:
    errors = (*ERRORS, "misses")
    rows = [
        [name, *(number(analysis.gains.removed[error], sign=True) for error in errors)]
        for name, analysis in analysed.items()
    ]
    return Table("What average mAP would gain without them (points)", ["run", *errors], rows)


def _table(run: RunInput) -> Table:
    thresholds = np.array(run.facts.metrics.iou_thresholds)
    h = int(np.abs(thresholds - AT).argmin())
    matched, sizes = run.matched, run.matched.instances_by_class()
    classes = matched.detections.class_ids
    hits = matched.matches.instances()[:, h] >= 0
    top = hits & (matched.ranks() < sizes[classes])
    by_class = [np.bincount(classes[rows], minlength=len(sizes)) for rows in (top, hits)]
    counts = np.stack([sizes, *by_class], axis=1)
    rows = [_row(*row) for row in zip(matched.instances.classes, counts, strict=True)]
    header = ["class", "instances", "hits at the top (%)", "found at all (%)", "missed (%)"]
    title = f"{run.name}: detections at tIoU {thresholds[h]:.3g}"
    return Table(title, header, [_row("all classes", counts.sum(axis=0)), *rows])


def _row(name: str, counts: np.ndarray) -> list[str]:
    instances, top, found = counts
    shares = 100.0 * top / instances, 100.0 * found / instances
    return [name, f"{instances:.0f}", *map(number, shares), number(100.0 - shares[1])]
