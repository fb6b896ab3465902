"""What goes wrong: instances that nothing finds, detections that meet no instance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gaufuse.report.run_input import RunInput
from gaufuse.report.sections import Section
from gaufuse.report.tables import Table, number

AT = 0.5  # tIoU


def error_section(runs: Sequence[RunInput]) -> Section:
    """Hits at the top and missed instances of each class."""
    section = Section("errors", "Errors")
    evaluated = [run for run in runs if run.truth]
    if not evaluated:
        section.text.append("No test video has annotations.")
        return section
    section.text.append(
        "Of each class, as many of the highest detections as it has instances, so that all could "
        "be hits: how many are. Missed instances are those that no detection at all meets."
    )
    for run in evaluated:
        section.tables.append(_table(run))
    return section


def _table(run: RunInput) -> Table:
    thresholds = np.array(run.facts.metrics.iou_thresholds)
    h = int(np.abs(thresholds - AT).argmin())
    rows, sums = [], np.zeros(3)
    sizes = run.matches.class_sizes()
    for c, label in enumerate(run.matches.labels):
        hits = run.matches.hits(c)[:, h]
        counts = np.array([sizes[c], hits[: sizes[c]].sum(), hits.sum()])
        sums += counts
        rows.append(_row(label, counts))
    header = ["class", "instances", "hits at the top (%)", "found at all (%)", "missed (%)"]
    title = f"{run.name}: detections at tIoU {thresholds[h]:.3g}"
    return Table(title, header, [_row("all classes", sums), *rows])


def _row(name: str, counts: np.ndarray) -> list[str]:
    instances, top, found = counts
    shares = 100.0 * top / instances, 100.0 * found / instances
    return [name, f"{instances:.0f}", *map(number, shares), number(100.0 - shares[1])]
