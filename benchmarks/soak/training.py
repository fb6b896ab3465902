"""Training with online labels, run after run."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from pathlib import Path

from gaufuse.cli.main import main

# Every part of the method in seconds, so that there are many runs: base model, online labels,
# delta labels, evaluations, checkpoints.
DATA = ("--profile", "small", "--training-videos", "30", "--testing-videos", "15")
SETTINGS = (
    "schedule.policy=online",
    "schedule.epochs=20",
    "schedule.refresh=[3]",
    'schedule.target=[{until=3, kind="none"}, {until=12, kind="labels"}, '
    '{until=20, kind="labels+delta"}]',
    "memory.start=2",
    "schedule.evaluate_every=5",
    "schedule.checkpoint_every=5",
)


def train_until(end: float) -> dict[str, int]:
    """Runs, each in a folder of its own that goes with it, until `time.monotonic()` says `end`;
    how many there were."""
    runs = 0
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        _gaufuse("simulate", str(data), *DATA)
        settings = [argument for setting in SETTINGS for argument in ("--set", setting)]
        while time.monotonic() < end:
            run = str(Path(name) / "run")
            _gaufuse("train", str(data), "--output", run, "--overwrite", *settings)
            runs += 1
    return {"runs": runs}


def _gaufuse(*arguments: str) -> None:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        status = main(list(arguments))
    if status:
        raise RuntimeError(f"gaufuse {' '.join(arguments)} ended with {status}: {shown.getvalue()}")
