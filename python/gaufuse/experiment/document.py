"""The summary as a Markdown document: written wholly from the file and its records."""

from __future__ import annotations

import os
from pathlib import Path

from gaufuse.experiment.summary import Summary
from gaufuse.experiment.tables import (
    INTERVALS,
    Table,
    all_tables,
    label_table,
    markdown_table,
    phase_table,
)

HOW_TO_READ = """\
Average mAP in percent; mean ± standard deviation over seeds. A difference is that of runs with the
same seed on the same data, with the {interval} of its mean; * where that does not reach zero.
Intervals are not corrected for how many there are: of twenty that say nothing, one gets a star. A
data set that is simulated from several data seeds counts once for each, training seeds averaged.
The mean of the data sets speaks about these data sets, not about others. Times are wall times of
whole runs of one thread, several side by side."""

LABELS = """\
Average precision of labels, ranking the snippets of a training video's labelled classes, at the
first refresh and at the last; and the gain g that would have brought labels Q nearest to the truth
by Q + g (Q - Q'), Q' being those before, mean of a run's refreshes. Where labels are 0 or 1, g is
below zero by the share of changes that were wrong: 0 if all were right, -0.5 if half were, as by
chance. Training sees none of these segments."""


def document(summary: Summary, source: str, plot: str | None) -> str:
    """The text of the document: a pure function of the experiment's file and its records.

    Args:
        source: how the document was made, a command.
        plot: the plot's file, relative to the document.
    """
    experiment = summary.experiment
    parts = [f"# {experiment.title or 'Results'}", f"Written by `{source}`; do not edit."]
    parts += [experiment.description.strip()] if experiment.description else []
    if not summary.results:
        return "\n\n".join([*parts, "There is no finished run yet.", *summary.notes]) + "\n"
    parts.append(HOW_TO_READ.format(interval=INTERVALS[summary.method]))
    (*tables,) = all_tables(summary)
    per_data = tables[: len(summary.data)]
    parts += _verdicts(summary)
    parts += [_section(table) for table in tables[len(summary.data) :]]
    if plot is not None:
        parts.append(f"![arms by data set]({plot})")
    labels = label_table(summary)
    if labels is not None:
        parts.append(_section(labels, LABELS))
    parts.append(_arms(summary))
    for data, table in zip(summary.data, per_data, strict=True):
        parts.append(f"## {data}\n\n{_description(summary, data)}\n\n{markdown_table(table)}")
        phases = phase_table(summary, data)
        if phases is not None:
            parts.append(f"By phase of training:\n\n{markdown_table(phases)}")
    parts.append("\n".join(["## Provenance", "", *(f"- {line}" for line in _provenance(summary))]))
    return "\n\n".join(parts) + "\n"


def relative_to(path: Path, document: Path) -> str:
    """How a link in the document names the file at `path`, whatever system it is written on."""
    return Path(os.path.relpath(path.resolve(), document.resolve().parent)).as_posix()


def _section(table: Table, text: str = "") -> str:
    title = table.title[0].upper() + table.title[1:]
    return f"## {title}\n\n" + (f"{text}\n\n" if text else "") + markdown_table(table)


def _verdicts(summary: Summary) -> list[str]:
    if not summary.comparisons:
        return []
    rows = []
    for arm, other in summary.comparisons:
        signs: dict[int | None, list[str]] = {1: [], -1: [], 0: [], None: []}
        for data in summary.data:
            difference = summary.difference(data, arm, other)
            if difference is not None:
                sign = None if difference.low is None else difference.sign
                signs[sign].append(data)
        columns = [", ".join(names) or "-" for names in signs.values()]
        rows.append([f"{arm} - {other}", *columns])
    header = ["", "helps", "hurts", "undecided", "one seed only"]
    return [_section(Table("what helps, what does not", header, rows))]


def _arms(summary: Summary) -> str:
    rows = []
    for name in summary.arms:
        arm = summary.experiment.arms[name]
        arguments = " ".join(arm.arguments) or "-"
        where = "; ".join(f"{data}: {' '.join(own)}" for data, own in arm.on.items())
        shown = f"`{arguments}`" + (f" ({where})" if where else "")
        if arm.of is not None:
            shown = f"{arm.of}, at the end of its phase {arm.phase!r}"
        rows.append([name, arm.description or "-", shown])
    text = "Arguments of `gaufuse train` for all arms"
    if summary.experiment.arguments:
        text += f": `{' '.join(summary.experiment.arguments)}`."
    else:
        text += ": none besides those here."
    return _section(Table("the arms", ["", "what", "arguments"], rows), text)


def _description(summary: Summary, data: str) -> str:
    settings = summary.experiment.data[data]
    source = f"`{settings.path}`"
    if settings.simulate is not None:
        source = f"`gaufuse simulate OUT {' '.join(settings.simulate)}`".replace(" `", "`")
        source += f", data seeds {_data_seeds(summary, data)}"
    own = f" Arguments here: `{' '.join(settings.arguments)}`." if settings.arguments else ""
    return f"{settings.description} {source}.{own}".strip()


def _data_seeds(summary: Summary, data: str) -> str:
    records = (r for (name, _), own in summary.results.items() if name == data for r in own.records)
    seeds = sorted({record["identity"]["data_seed"] for record in records})
    return ", ".join(map(str, seeds))


def _provenance(summary: Summary) -> list[str]:
    records = [record for result in summary.results.values() for record in result.records]
    versions = sorted(
        {
            f"gaufuse {v['gaufuse']}, commit {v['commit'] or 'unknown'}, torch {v['torch']}"
            for v in (record["versions"] for record in records)
        }
    )
    hours = sum(record["seconds"] for record in records) / 3600
    days = sorted(record["time"][:10] for record in records)
    lines = [f"{len(records)} runs, {hours:.1f} hours of one core, {days[0]} to {days[-1]}"]
    return lines + versions + summary.notes
