"""`gaufuse train --dry-run` says what would go wrong, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gaufuse.cli.main import main
from gaufuse.labels.online_teacher import OnlineTeacher
from gaufuse.training import dry_run
from gaufuse.training.step import TrainingStep
from training_setups import SHORT, short_config, tiny_dataset

SETTINGS = [word for setting in SHORT for word in ("--set", setting)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_dataset(tmp_path / "data")


def try_out(data: Path, output: Path, *more: str) -> int:
    before = snapshot(data.parent)
    status = main(["train", str(data), "--output", str(output), "--dry-run", *SETTINGS, *more])
    assert snapshot(data.parent) == before
    return status


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    found = {path: path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in found.items()}


def test_a_run_that_would_go_well(data, tmp_path, capsys):
    assert try_out(data, tmp_path / "a" / "run") == 0
    shown = capsys.readouterr().out
    for word in (
        "training videos │ 9; ",
        "parameters",
        "activations",
        "longest videos",
        "7 epochs of 3 steps",
    ):
        assert word in " ".join(shown.split()), word


def test_an_output_folder_that_cannot_be_written_to(data, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert try_out(data, tmp_path / "file" / "run") == 2
    assert "cannot write to the output folder" in capsys.readouterr().err


def test_a_run_that_is_there(data, tmp_path, capsys):
    output = tmp_path / "run"
    assert main(["train", str(data), "--output", str(output), *SETTINGS]) == 0
    assert try_out(data, output) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert try_out(data, output, "--overwrite") == 0
    assert try_out(data, output, "--resume") == 0


def test_features_with_nan(data, tmp_path, capsys):
    path = data / "features" / "training_0004.npy"
    features = np.load(path)
    features[3, 2] = np.nan
    np.save(path, features)
    assert try_out(data, tmp_path / "run") == 2
    assert "training_0004.npy" in capsys.readouterr().err


def test_a_class_that_no_training_video_shows(data, tmp_path, capsys):
    table = json.loads((data / "annotations.json").read_text())
    for video in table["database"].values():
        if video["subset"] == "training":
            for entry in video["annotations"]:
                entry["label"] = entry["label"].replace("action_2", "action_1")
    (data / "annotations.json").write_text(json.dumps(table))
    assert try_out(data, tmp_path / "run") == 2
    assert "no training video shows action_2" in capsys.readouterr().err


def test_a_step_that_fails(data, tmp_path, capsys, monkeypatch):
    def out_of_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 TiB\nand so on")

    monkeypatch.setattr(TrainingStep, "__call__", out_of_memory)
    assert try_out(data, tmp_path / "run") == 2
    assert "a step on the longest videos fails: CUDA out of memory" in capsys.readouterr().err


def test_labels_that_do_not_fit(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dry_run, "_available_memory", lambda: 1000)
    assert try_out(data, tmp_path / "run") == 2
    assert "the labels need" in capsys.readouterr().err


def schedule(*overrides: str):
    return short_config(*overrides).schedule


def test_labels_are_made_as_often_as_the_policy_says():
    """Seven epochs, two of them before the first labels; refreshes at the ends of 2, 4 and 5."""
    assert dry_run.label_makings(schedule()) == 3
    # At the ends of epochs 2, 4 and 6: a refresh after the last epoch would be for nothing.
    assert dry_run.label_makings(schedule("schedule.policy=every", "schedule.every=2")) == 3
    # (With a target of labels, since deltas need two refreshes.)
    labels = 'schedule.target=[{until=2, kind="none"}, {until=7, kind="labels"}]'
    seldom = schedule("schedule.policy=every", "schedule.every=100", labels)
    assert dry_run.label_makings(seldom) == 1


@pytest.mark.parametrize(("every", "makings"), [(1, 5), (2, 3), (3, 7 / 3)])
def test_online_labels_are_made_at_a_videos_first_visit_and_then_at_every_nth(
    data, tmp_path, monkeypatch, every, makings
):
    """Of five visits after the base phase; over videos, as a real run makes them."""
    settings = ("schedule.policy=online", f"schedule.teacher_every={every}", ONLINE_TARGET)
    assert dry_run.label_makings(schedule(*settings)) == pytest.approx(makings)
    made = []
    make = OnlineTeacher._make
    monkeypatch.setattr(
        OnlineTeacher,
        "_make",
        lambda self, batch: made.append(len(batch.videos)) or make(self, batch),
    )
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["train", str(data), "--output", str(tmp_path / "run"), *SETTINGS, *words]) == 0
    assert sum(made) / 9 == pytest.approx(makings, abs=0.2)


ONLINE_TARGET = 'schedule.target=[{until=2, kind="none"}, {until=7, kind="labels"}]'


def test_the_table_says_what_the_policy_costs(data, tmp_path, capsys):
    assert (
        try_out(data, tmp_path / "run", "--set", "schedule.policy=online", "--set", ONLINE_TARGET)
        == 0
    )
    shown = cells(capsys.readouterr().out)
    assert "labels online, 2.33 times a video" in shown
    assert "and the teacher" in shown
    every = ["--set", "schedule.policy=every", "--set", "schedule.every=1"]
    assert try_out(data, tmp_path / "run", *every) == 0
    assert "5 label refreshes" in cells(capsys.readouterr().out)


def cells(table: str) -> str:
    """Without the lines between them, which a long cell is broken at."""
    return " ".join(table.replace("│", " ").split())


def test_saved_bytes_are_those_of_the_backward_pass():
    x = torch.zeros(1000, requires_grad=True)
    with dry_run._SavedBytes() as saved:
        y = (x * 2.0).exp()  # keeps its result
        y.square().sum()  # keeps its input, which is the same
    assert saved.bytes == 4000


def test_students_are_in_the_estimate(data, tmp_path, capsys):
    more = ("--set", "second_round.rounds=2", "--dry-run")
    assert main(["train", str(data), "--output", str(tmp_path / "run"), *more]) == 0
    assert "2 students" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "run").exists()
