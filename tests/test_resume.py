"""A run that is stopped at any moment goes on as if nothing had been."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gaufuse.model.checkpoint import checkpoints_in, load_checkpoint
from training_setups import SHORT, tiny_dataset

SETTINGS = [
    *SHORT,
    "schedule.evaluate_every=1",
    "schedule.checkpoints_kept=2",
    'selection.by="validation"',
    "selection.fraction=0.3",
]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_at_any_moment_and_resumed_it_ends_the_same_to_the_bit(tmp_path, kills):
    data = tiny_dataset(tmp_path / "data")
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    program = Path(__file__).with_name("killed_runs.py")
    done = subprocess.run(
        [sys.executable, str(program), str(data), str(tmp_path), str(kills), *settings],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    done_kills = json.loads(done.stdout)
    assert done_kills["writing"] >= 10
    assert done_kills["random"] == kills
    for killed in (tmp_path / "writing", *tmp_path.glob("random-*")):
        assert_same_run(tmp_path / "whole", killed)


def assert_same_run(whole: Path, killed: Path) -> None:
    for name in ("metrics.json", "predictions.json", "log.jsonl", "config.toml"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    expected, found = (checkpoints_in(run / "checkpoints") for run in (whole, killed))
    assert set(expected) == set(found)
    assert not list((killed / "checkpoints").glob(".*"))
    for epoch, path in expected.items():
        assert_same(vars(load_checkpoint(path)), vars(load_checkpoint(found[epoch])))


def assert_same(one: object, other: object) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other
