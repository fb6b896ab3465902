"""A small experiment whose runs are fake: a process that writes what a run leaves behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from training_setups import tiny_dataset

# What a run scores is its seed plus --set testing.margin of its arm: known, and paired by seed.
FAKE_RUN = """
import json, pathlib, sys, time
output = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
seed = int(sys.argv[sys.argv.index("--seed") + 1])
settings = dict(word.split("=", 1) for word in sys.argv if word.startswith("testing."))
margin = float(settings.get("testing.margin", 0))
with open(output.parent.parent.parent / "calls.txt", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
print("training on", sys.argv[2])
if "testing.min_length=7" in sys.argv:
    sys.exit("the loss is not finite in " + str(output))
if "testing.min_length=8" in sys.argv:
    sys.exit(0)
output.mkdir(parents=True, exist_ok=True)
(output / "config.toml").write_text(f"seed = {seed}\\nmargin = {margin}\\n")
refresh = {"epoch": 2, "kind": "refresh", "coverage": 0.25}
(output / "log.jsonl").write_text(json.dumps(refresh) + "\\n" + '{"epoch": 3, "kind": "losses"}\\n')
average = 40.0 + seed + margin * (1 + 0.1 * seed)
evaluations = [{"epoch": 2, "map": [1.0], "average_map": 30.0},
               {"epoch": 3, "map": [1.0], "average_map": average}]
metrics = {"map": [average + 1, average - 1], "average_map": average, "iou_thresholds": [0.3, 0.5],
           "base_average_map": 30.0, "chosen_epoch": 3, "evaluations": evaluations}
(output / "metrics.json").write_text(json.dumps(metrics))
"""


def fake_command(cell, data, output) -> list[str]:
    python = [sys.executable, "-S", "-c", FAKE_RUN]
    options = ["--output", str(output), "--seed", str(cell.seed)]
    return [*python, cell.kind, str(data), *options, *cell.arguments]


EXPERIMENT = """
title = "Do labels help?"
seeds = [0, 1, 2]
workers = 2
arguments = "--config simulated"

[data.tiny]
path = "$TINY_DATA/data"

[arms.control]
description = "no labels"

[arms.full]
arguments = "--set testing.margin=2"
against = "control"
"""


def write_experiment(folder: Path, monkeypatch, text: str = EXPERIMENT) -> Path:
    """The experiment's file beside its data set; runs are fake from here on."""
    if not (folder / "data").exists():
        tiny_dataset(folder / "data")
    monkeypatch.setenv("TINY_DATA", str(folder))
    monkeypatch.setattr("gaufuse.experiment.processes.command_of", fake_command)
    monkeypatch.chdir(folder)
    path = folder / "try.toml"
    path.write_text(text)
    return path


def calls(folder: Path) -> list[str]:
    """The command lines of all fake runs so far."""
    path = folder / "runs" / "calls.txt"
    return path.read_text().splitlines() if path.is_file() else []


def records(folder: Path) -> list[dict]:
    lines = (folder / "runs" / "try" / "records.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
