"""What is kept of a run: one small record, without paths of the machine."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import gaufuse
from gaufuse.experiment.definition import Cell
from gaufuse.experiment.inputs import settings_digest
from gaufuse.training.run_folder import RunFolder

LAST_LINES = 15  # of the output of a run that failed
MOST_REFRESHES = 12  # label statistics kept; a run with online labels has them every epoch
MOST_EVALUATIONS = 40


def finished(cell: Cell, inputs: str, folder: RunFolder, about: dict) -> dict:
    """The record of a run that ended well.

    Args:
        about: what the caller knows of the run: seconds, versions, ...

    Raises:
        ValueError: the run left no readable metrics.json.
    """
    try:
        metrics = json.loads(folder.metrics.read_text())
        results = {
            "average_map": float(metrics["average_map"]),
            "map": [round(value, 4) for value in metrics["map"]],
            "iou_thresholds": metrics["iou_thresholds"],
            "base_average_map": metrics.get("base_average_map"),
            "chosen_epoch": metrics.get("chosen_epoch"),
            "evaluations": [
                {key: value for key, value in entry.items() if key != "map"}
                for entry in _thinned(metrics.get("evaluations", []), MOST_EVALUATIONS)
            ],
            "labels": _thinned(_refreshes(folder.log), MOST_REFRESHES),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the run left no usable {folder.metrics.name}: {error!r}") from None
    settings = settings_digest(folder.config.read_text()) if folder.config.is_file() else None
    return _head("finished", cell, inputs) | results | {"settings": settings} | about


def failed(cell: Cell, inputs: str, output: str, hidden: dict[str, str], about: dict) -> dict:
    """The record of a run that failed, with the last lines that it printed.

    Args:
        output: what the run printed.
        hidden: text (paths) to replace in it.
    """
    lines = output.strip().splitlines()[-LAST_LINES:]
    text = "\n".join(line.rstrip()[:300] for line in lines)
    hidden = hidden | {
        str(Path(gaufuse.__file__).parent.parent): "PACKAGE",
        sys.prefix: "PYTHON",
        str(Path.home()): "HOME",
    }
    for path in sorted(hidden, key=len, reverse=True):
        if len(path) > 1:
            text = text.replace(path, hidden[path])
    return _head("failed", cell, inputs) | {"error": text} | about


def _head(status: str, cell: Cell, inputs: str) -> dict:
    return {
        "status": status,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data": cell.data,
        "arm": cell.arm,
        "identity": cell.identity,
        "inputs": inputs,
    }


def _refreshes(log: Path) -> list[dict]:
    if not log.is_file():
        return []
    records = (json.loads(line) for line in log.read_text().splitlines())
    refreshes: list[dict] = []
    for record in records:
        values = {
            key: round(value, 5) if isinstance(value, float) else value
            for key, value in record.items()
            if key != "kind"
        }
        if record["kind"] == "refresh":
            refreshes.append(values)
        elif record["kind"] == "label_quality":  # of the refresh before it in the log
            refreshes[-1] |= values
    return refreshes


def _thinned(entries: list[dict], most: int) -> list[dict]:
    """At most so many, evenly, the first and the last among them."""
    if len(entries) <= most:
        return entries
    return [entries[round(i * (len(entries) - 1) / (most - 1))] for i in range(most)]
