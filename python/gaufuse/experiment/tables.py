"""Summaries as tables, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from rich.table import Table as RichTable
from rich.text import Text

from gaufuse.experiment.statistics import Estimate, estimate
from gaufuse.experiment.statistics import deviation as standard_deviation
from gaufuse.experiment.summary import Phase, Result, Summary

NOTHING = "-"
INTERVALS = {
    "t": "95 % t interval",
    "bootstrap": "95 % bootstrap interval (percentiles)",
}


@dataclass(frozen=True)
class Table:
    """A table of text, before it is drawn in either way."""

    title: str
    header: list[str]
    rows: list[list[str]]


def all_tables(summary: Summary) -> Iterator[Table]:
    """One for each data set, then what is said over all of them; none where there is no run."""
    if not summary.results:
        return
    for data in summary.data:
        yield data_table(summary, data)
    if len(summary.data) > 1:
        yield overview(summary)
    if summary.comparisons:
        yield comparison_table(summary)


def data_table(summary: Summary, data: str) -> Table:
    """The arms on one data set."""
    own = {arm: summary.results.get((data, arm)) for arm in summary.arms}
    results = {arm: result for arm, result in own.items() if result is not None}
    thresholds = next((own.iou_thresholds for own in results.values() if own.records), [])
    shown = sorted({0, (len(thresholds) - 1) // 2, len(thresholds) - 1} if thresholds else ())
    rows = []
    for arm, result in results.items():
        control = summary.control(arm)
        difference = summary.difference(data, arm, control)
        rows.append(
            [
                arm,
                f"{len(result.records)}" if result.records else NOTHING,
                with_deviation(result),
                with_interval(difference),
                NOTHING if difference is None or control is None else control,
                *(f"{result.map[i]:.1f}" if result.records else NOTHING for i in shown),
                NOTHING if result.seconds is None else f"{result.seconds:.0f} s",
            ]
        )
    header = ["", "runs", "average mAP", "difference", "to"]
    header += [f"mAP@{thresholds[i]:.3g}" for i in shown]
    title = f"{data}: difference with its {INTERVALS[summary.method]}"
    return Table(title, [*header, "time"], rows)


def phase_table(summary: Summary, data: str) -> Table | None:
    """What each phase of training reached, beside its control after as many epochs and beside that
    at the end of whichever of its phases it was best: a control can train for too long."""
    rows = []
    for arm in summary.arms:
        name = summary.control(arm)
        result = summary.results.get((data, arm))
        control = None if name is None else summary.results.get((data, name))
        if result is None or not result.records or control is None or not control.phases:
            continue
        best = max(control.phases, key=lambda phase: phase.mean)
        for i, phase in enumerate(result.phases):
            then = control.phases[min(i, len(control.phases) - 1)]
            deviation = standard_deviation(list(phase.values.values()))
            rows.append(
                [
                    arm,
                    phase.name,
                    f"{phase.mean:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}"),
                    with_interval(_paired(phase, then, summary.method)),
                    with_interval(_paired(phase, best, summary.method)),
                ]
            )
    header = ["", "phase", "average mAP", "to the control then", "to the control at its best"]
    return Table(f"{data}: phases", header, rows) if rows else None


def _paired(phase: Phase, other: Phase, method: str) -> Estimate | None:
    values = [phase.values[key] - other.values[key] for key in phase.values if key in other.values]
    return estimate(values, method) if values else None


def overview(summary: Summary) -> Table:
    """Average mAP of every arm on every data set, in brackets less that of its control."""
    rows = []
    for arm in summary.arms:
        cells = []
        for data in summary.data:
            result = summary.results.get((data, arm))
            difference = summary.difference(data, arm, summary.control(arm))
            text = NOTHING if result is None else f"{result.mean:.1f}"
            if difference is not None:
                text += f" ({difference.mean:+.1f}{_star(difference)})"
            cells.append(text)
        rows.append([arm, *cells])
    title = "average mAP (difference to the control; *: its interval does not reach zero)"
    return Table(title, ["", *summary.data], rows)


def comparison_table(summary: Summary) -> Table:
    """Every comparison of the file: what each step is worth."""
    rows = []
    for arm, other in summary.comparisons:
        cells = [summary.difference(data, arm, other) for data in summary.data]
        found = summary.mean_difference(arm, other)
        mean = None if found is None else found[0]
        rows.append([f"{arm} - {other}", *map(with_interval, cells), with_interval(mean)])
    title = f"differences of average mAP, paired by seed, {INTERVALS[summary.method]}"
    return Table(title, ["", *summary.data, "mean of the data sets"], rows)


def label_table(summary: Summary) -> Table | None:
    """How good the labels of training videos were, and whether their changes said what was wrong;
    of the arms whose records have it (records of earlier versions do not)."""
    rows = []
    for data in summary.data:
        for arm in summary.arms:
            result = summary.results.get((data, arm))
            runs = [] if result is None else [_measured(record) for record in result.records]
            if not runs or not all(runs):
                continue
            gains = [
                [own["best_gain"] for own in run if own["best_gain"] is not None] for run in runs
            ]
            means = [fmean(own) for own in gains if own]
            rows.append(
                [
                    data,
                    arm,
                    f"{len(runs)}",
                    f"{fmean(run[0]['average_precision'] for run in runs):.3f}",
                    f"{fmean(run[-1]['average_precision'] for run in runs):.3f}",
                    with_interval(estimate(means, summary.method)) if means else NOTHING,
                ]
            )
    header = ["", "", "runs", "first labels", "last labels", "best gain of a change"]
    return Table("labels against annotated segments", header, rows) if rows else None


def _measured(record: dict) -> list[dict]:
    """Its refreshes whose labels were compared with segments."""
    return [own for own in record.get("labels", ()) if "best_gain" in own]


def with_deviation(result: Result) -> str:
    """Mean ± standard deviation; the mean alone of a single run."""
    deviation = result.deviation
    return f"{result.mean:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


def with_interval(estimate: Estimate | None) -> str:
    """Mean [low, high], starred where the interval does not reach zero."""
    if estimate is None:
        return NOTHING
    if estimate.low is None:
        return f"{estimate.mean:+.2f}"
    return f"{estimate.mean:+.2f}{_star(estimate)} [{estimate.low:+.2f}, {estimate.high:+.2f}]"


def _star(estimate: Estimate) -> str:
    return "*" if estimate.sign else ""


def rich_table(table: Table) -> RichTable:
    """For the terminal; names are not read as markup."""
    drawn = RichTable(title=Text(table.title))
    for i, name in enumerate(table.header):
        drawn.add_column(Text(name), justify="left" if i == 0 else "right")
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    return drawn


def markdown_table(table: Table) -> str:
    """The rows without the title; | and * of names are escaped."""
    lines = [_line(table.header), _line(["---", *["---:"] * (len(table.header) - 1)])]
    lines += [_line([cell.replace("*", "\\*") for cell in row]) for row in table.rows]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
