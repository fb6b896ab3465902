"""People have test videos without labels: a run trains, detects in them, and says that there is no
mAP. A checkpoint is there before its epoch is evaluated, whatever becomes of that."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from gaufuse.cli.main import main
from gaufuse.data.dataset import load_dataset
from gaufuse.model.checkpoint import checkpoints_in, load_checkpoint
from gaufuse.training import trainer as trainer_module
from gaufuse.training.run_folder import prepare_folder
from gaufuse.training.trainer import Trainer
from training_setups import SHORT, short_config, tiny_dataset

SETTINGS = [word for setting in SHORT for word in ("--set", setting)]


@pytest.fixture(params=["empty", "absent"])
def data(tmp_path: Path, request) -> Path:
    folder = tiny_dataset(tmp_path / "data")
    table = json.loads((folder / "annotations.json").read_text())
    for entry in table["database"].values():
        if entry["subset"] == "testing":
            entry["annotations"] = []
            if request.param == "absent":
                del entry["annotations"]
    (folder / "annotations.json").write_text(json.dumps(table))
    return folder


def test_a_run_on_unlabelled_test_videos(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["data", "check", str(data)]) == 0
    assert main(["train", str(data), "--output", str(run), "--dry-run", *SETTINGS]) == 0
    assert "no test video has annotations: detections, but no mAP" in capsys.readouterr().out
    assert main(["train", str(data), "--output", str(run), *SETTINGS]) == 0
    said = capsys.readouterr().out
    assert "epoch 7: no mAP, since no test video has annotations" in said
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["map"] is metrics["average_map"] is metrics["base_average_map"] is None
    assert [entry["epoch"] for entry in metrics["evaluations"]] == [2, 4, 7]
    results = json.loads((run / "predictions.json").read_text())["results"]
    assert sorted(results) == load_dataset(data).testing.names
    assert any(results.values())
    assert main(["train", str(data), "--output", str(run), "--resume", *SETTINGS]) == 0
    assert json.loads((run / "metrics.json").read_text()) == metrics
    out = tmp_path / "p.json"
    last = run / "checkpoints" / "epoch-0007"
    assert main(["detect", str(last), str(data), "-o", str(out)]) == 0
    assert "no mAP, since none of them has annotations" in capsys.readouterr().out
    assert json.loads(out.read_text())["results"] == results


def test_validation_videos_choose_all_the_same(data, tmp_path):
    run = tmp_path / "run"
    by = ["--set", "selection.by=validation", "--set", "selection.fraction=0.3"]
    words = ["train", str(data), "--output", str(run), *SETTINGS]
    assert main([*words, *by]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    best = max(metrics["evaluations"], key=lambda entry: entry["validation"])
    assert metrics["chosen_epoch"] == best["epoch"]
    assert metrics["average_map"] is None


def test_nothing_to_choose_an_epoch_by(data, tmp_path, capsys):
    words = ["train", str(data), "--output", str(tmp_path / "run"), *SETTINGS]
    assert main([*words, "--set", "selection.by=test"]) == 2
    assert "no test video has annotations" in capsys.readouterr().err


def make_trainer(data: Path, output: Path, resume: bool = False) -> Trainer:
    trainer = Trainer(
        load_dataset(data),
        short_config(),
        prepare_folder(output, resume, False),
        torch.device("cpu"),
        Console(file=io.StringIO()),
    )
    if resume:
        trainer.resume()
    return trainer


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("fails", ["detect", "detection_score", "replace_evaluations"])
def test_a_checkpoint_is_there_before_its_epoch_is_evaluated(tmp_path, monkeypatch, fails, call):
    data = tiny_dataset(tmp_path / "data")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = make_trainer(data, whole).run()
    original, calls = getattr(trainer_module, fails), []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise MemoryError("an evaluation that fails")
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(trainer_module, fails, fail)
        run = make_trainer(data, cut)
        with pytest.raises(MemoryError):
            run.run()
    epoch = (2, 4, 7)[call - 1]
    found = checkpoints_in(cut / "checkpoints")
    assert max(found) == epoch
    done = [entry["epoch"] for entry in load_checkpoint(found[epoch]).evaluations]
    assert done == [2, 4, 7][: call - 1]
    assert make_trainer(data, cut, resume=True).run() == expected
    for name in ("log.jsonl", "metrics.json", "predictions.json"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    assert set(checkpoints_in(cut / "checkpoints")) == set(checkpoints_in(whole / "checkpoints"))
