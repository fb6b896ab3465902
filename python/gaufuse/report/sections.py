"""The sections of a run's page."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tomli_w

from gaufuse.report.figures import PageFigure, bars_by_class
from gaufuse.report.run_input import RunInput
from gaufuse.report.tables import NOTHING, Table, number, with_interval
from gaufuse.report.video_bootstrap import RESAMPLES, interval

MOST_CLASSES = 60  # of bars
MOST_VIDEOS = 300  # of the table
CHOSEN = {
    "last": "the last one",
    "validation": "the best one on validation videos",
    "test": "the best one on these very videos, which flatters",
}


@dataclass
class Section:
    """A heading and what is below it, in this order."""

    anchor: str
    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[PageFigure] = field(default_factory=list)
    folded: list[Table] = field(default_factory=list)  # shown on demand
    sources: list[tuple[str, str]] = field(default_factory=list)  # (title, text as it is)


def result_section(runs: Sequence[RunInput]) -> Section:
    """mAP with its intervals; of two runs also their difference."""
    section = Section("result", "Result")
    evaluated = [run for run in runs if run.truth]
    for run in runs:
        metrics = run.facts.metrics
        value = number(metrics.average_map, 2)
        section.text.append(
            f"{run.name}: average mAP {value} % after epoch {metrics.chosen_epoch}, "
            f"{CHOSEN.get(metrics.chosen_by, metrics.chosen_by)}."
            if metrics.average_map is not None
            else f"{run.name}: no mAP, since no test video has annotations."
        )
    thresholds = runs[0].facts.metrics.iou_thresholds
    if evaluated:
        section.tables.append(_map_table(evaluated, thresholds))
        videos = len(evaluated[0].truth)
        section.text.append(
            f"In brackets: 95 % intervals over the {videos} test videos (basic bootstrap of "
            f"{RESAMPLES:,} resamples): how far the numbers would move with other videos of the "
            "same kind. They say nothing of other seeds."
        )
    phases = [
        [
            run.name,
            entry.phase,
            f"{entry.epoch}",
            *(number(value) for value in entry.map or [math.nan] * len(thresholds)),
            number(entry.average_map, 2),
        ]
        for run in runs
        for entry in run.facts.metrics.evaluations
        if run.facts.metrics.iou_thresholds == thresholds
    ]
    header = ["run", "phase", "epoch", *(f"{t:.3g}" for t in thresholds), "mean"]
    section.folded.append(Table("mAP (%) at tIoU of every evaluation", header, phases))
    return section


def _map_table(runs: Sequence[RunInput], thresholds: list[float]) -> Table:
    rows = []
    for run in runs:
        if run.facts.metrics.iou_thresholds == thresholds:
            rows.append([run.name, *_map_cells(run.resampled.maps)])
    if len(rows) == 2 and list(runs[0].truth) == list(runs[1].truth):
        # The same resamples of the same videos: paired.
        difference = runs[1].resampled.maps - runs[0].resampled.maps
        rows.append(["B less A, paired by video", *_map_cells(difference, sign=True)])
    header = ["run", *(f"{t:.3g}" for t in thresholds), "mean"]
    protocol = runs[0].facts.metrics.protocol
    return Table(f"mAP (%) at tIoU, {protocol} protocol", header, rows)


def _map_cells(maps: np.ndarray, sign: bool = False) -> list[str]:
    """maps: (B + 1, H)."""
    columns = [maps[:, h] for h in range(maps.shape[1])] + [maps.mean(axis=1)]
    return [with_interval(interval(column), sign) for column in columns]


def training_section(runs: Sequence[RunInput]) -> Section:
    """Data set, machine, versions and settings."""
    section = Section("training", "What was trained on what")
    section.text += [f"{run.name}: {note}" for run in runs for note in run.notes]
    facts = {run.name: _facts(run) for run in runs}
    names = list(dict.fromkeys(name for own in facts.values() for name in own))
    rows = [[name, *(own.get(name, NOTHING) for own in facts.values())] for name in names]
    section.tables.append(Table("Data, machine and versions", ["what", *facts], rows, prose=True))
    settings = {run.name: _flat(run.facts.config.model_dump(mode="json")) for run in runs}
    if len(runs) == 2:
        first, second = settings.values()
        changed = [
            [key, first.get(key, NOTHING), second.get(key, NOTHING)]
            for key in dict.fromkeys([*first, *second])
            if first.get(key) != second.get(key)
        ]
        if changed:
            section.tables.append(
                Table("Settings that differ", ["setting", *settings], changed, prose=True)
            )
        else:
            section.text.append("The two runs have the same settings.")
    for run in runs:
        text = tomli_w.dumps(run.facts.config.model_dump(mode="json", exclude_none=True))
        section.sources.append((f"All settings of {run.name} (TOML)", text))
    return section


def _facts(run: RunInput) -> dict[str, str]:
    facts, data = run.facts, run.facts.data
    start = facts.starts[-1]
    length = f"{data.snippet_seconds:g} s" if data.snippet_seconds else "each video's own"
    count = f"{len(data.classes)}"
    shown = ", ".join(data.classes[:30]) + (", …" if len(data.classes) > 30 else "")
    return {
        "data set": data.name,
        **{f"{subset} videos": f"{videos}" for subset, videos in data.videos.items()},
        "classes": f"{count}: {shown}",
        "snippet": length,
        "feature dimensions": f"{data.feature_dim}",
        "epochs": f"{facts.metrics.epochs}",
        "seed": f"{facts.config.seed}",
        "started": _time(facts.starts[0].time),
        "resumed": f"{len(facts.starts) - 1} times" if len(facts.starts) > 1 else "no",
        "command": start.command,
        "device": f"{start.device}, {start.processes} process(es), {start.threads} threads",
        **{f"{name} version": version for name, version in start.versions.items()},
    }


def _time(text: str) -> str:
    try:
        return datetime.datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M %z").strip()
    except ValueError:
        return text


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def class_section(runs: Sequence[RunInput]) -> Section:
    """Average mAP of each class."""
    section = Section("classes", "Classes")
    evaluated = [run for run in runs if run.truth]
    if not evaluated:
        section.text.append("No test video has annotations.")
        return section
    values = {
        run.name: {
            label: interval(run.resampled.per_class[:, c])
            for c, label in enumerate(run.matched.instances.classes)
        }
        for run in evaluated
    }
    common = [c for c in next(iter(values.values())) if all(c in own for own in values.values())]
    common.sort(key=lambda label: -next(iter(values.values()))[label].value)
    if len(common) > MOST_CLASSES:
        half = MOST_CLASSES // 2
        section.text.append(
            f"The {half} best and the {half} worst of {len(common)} classes; gaufuse evaluate "
            "--per-class has all."
        )
        common = common[:half] + common[-half:]
    if common:
        chosen = {name: [own[label] for label in common] for name, own in values.items()}
        title = "Average mAP by class"
        names = [run.name for run in runs]
        section.figures.append(bars_by_class(title, common, chosen, names))
    return section


def video_table(runs: Sequence[RunInput]) -> Table | None:
    """mAP of each test video by itself; None without annotations."""
    evaluated = [run for run in runs if run.truth]
    if not evaluated:
        return None
    first = evaluated[0]
    videos = sorted(first.by_video, key=lambda video: -first.by_video[video])
    caption = "Test videos by their own mAP (%), mean over their classes and tIoU"
    if len(videos) > MOST_VIDEOS:
        half = MOST_VIDEOS // 2
        caption += f"; the {half} best and {half} worst of {len(videos)}"
        videos = videos[:half] + videos[-half:]
    rows = [
        [
            video,
            ", ".join(dict.fromkeys(first.truth[video].labels)),
            f"{len(first.truth[video].labels)}",
            *(number(run.by_video.get(video)) for run in evaluated),
        ]
        for video in videos
    ]
    header = ["video", "classes", "instances", *(run.name for run in evaluated)]
    return Table(caption, header, rows)
