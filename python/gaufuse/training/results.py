"""What a run has come to, from the evaluations of its epochs."""

from __future__ import annotations

import math
from typing import Any

from gaufuse.config import Config
from gaufuse.localization.evaluation import iou_thresholds
from gaufuse.training.schedule import phase_ends, target_at
from gaufuse.training.second_round import student_epochs

PHASES = {  # by the kind of target
    "none": "base model",
    "labels": "pseudo labels",
    "delta": "delta labels",
    "labels+delta": "delta labels",
}

Evaluation = dict[str, Any]  # of an epoch: "epoch", "phase", "map", "average_map", "validation"


def phase_of(config: Config, epoch: int, videos: int) -> str:
    """The name of what is trained in an epoch, with so many training videos."""
    schedule = config.schedule
    if epoch > schedule.epochs:
        each = student_epochs(config, videos)
        return f"student {math.ceil((epoch - schedule.epochs) / each)}"
    return PHASES[target_at(config, epoch).kind]


def chosen_of(config: Config, evaluations: list[Evaluation]) -> Evaluation:
    """The evaluation of the epoch that is the run's result so far."""
    by = config.selection.by
    if by == "last":
        return evaluations[-1]
    key = "validation" if by == "validation" else "average_map"
    return max(evaluations, key=lambda entry: entry[key])  # of equal ones the first


def metrics_of(config: Config, evaluations: list[Evaluation]) -> dict[str, Any]:
    """What metrics.json holds."""
    chosen = chosen_of(config, evaluations)
    base = next(entry for entry in evaluations if entry["epoch"] == config.schedule.base_epochs)
    return {
        "map": chosen["map"],
        "average_map": chosen["average_map"],
        "iou_thresholds": list(iou_thresholds(config.evaluation)),
        "base_map": base["map"],
        "base_average_map": base["average_map"],
        "protocol": config.evaluation.protocol,
        "epochs": evaluations[-1]["epoch"],
        "chosen_epoch": chosen["epoch"],
        "chosen_by": config.selection.by,
        "evaluations": evaluations,
    }


def table_of(config: Config, evaluations: list[Evaluation]) -> list[tuple[str, list[float], float]]:
    """Evaluations at the end of each phase, and the one that is the result: name, mAP, average."""
    chosen, ends = chosen_of(config, evaluations), phase_ends(config)
    rows = []
    for entry in evaluations:
        epoch = entry["epoch"]
        if entry is chosen or epoch in ends or epoch > config.schedule.epochs:
            note = ", chosen" if entry is chosen and config.selection.by != "last" else ""
            name = f"{entry['phase']}, epoch {epoch}{note}"
            rows.append((name, entry["map"], entry["average_map"]))
    return rows
