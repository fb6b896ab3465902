"""The command `gaufuse`, as a user calls it."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import gaufuse_ext as gx
from gaufuse.cli import label
from gaufuse.cli.main import COMMANDS, main
from gaufuse.cli.train import find_config
from gaufuse.config import load_config
from gaufuse.data.dataset import load_dataset
from gaufuse.data.simulate import simulate
from gaufuse.training.run_folder import locked
from training_setups import SHORT, TINY, tiny_dataset


def succeed(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def fail(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The one sentence that a failing command prints."""
    assert main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gaufuse: error: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.json"
    entries = [
        {"segment": [1.0, 4.0], "label": "jump", "score": 0.9},
        {"segment": [1.5, 4.5], "label": "jump", "score": 0.6},
        {"segment": [10.0, 12.0], "label": "run", "score": 0.4},
    ]
    path.write_text(json.dumps({"results": {"v1": entries, "v2": []}}))
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.json"
    database = {
        "v1": {
            "subset": "test",
            "duration": 20.0,
            "annotations": [{"segment": [1.0, 4.0], "label": "jump"}],
        },
        "v2": {"subset": "test", "annotations": [{"segment": ["0.5", "2"], "label": "jump"}]},
        "v3": {"subset": "train", "annotations": [{"segment": [0, 1], "label": "run"}]},
    }
    path.write_text(json.dumps({"database": database}))
    return path


@pytest.mark.parametrize("command", [c.__name__.rpartition(".")[2] for c in COMMANDS])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    assert exit.value.code == 0
    assert f"usage: gaufuse {command}" in capsys.readouterr().out


def test_info(capsys):
    succeed("info", "--json")
    assert json.loads(capsys.readouterr().out)["version"] == gx.__version__


def test_evaluate_to_stdout_and_file(predictions, truth, tmp_path, capsys):
    succeed("evaluate", predictions, truth, "--json", "-", "--iou-thresholds", "0.5,0.99")
    printed = json.loads(capsys.readouterr().out)
    assert printed["iou_thresholds"] == [0.5, 0.99]
    assert printed["map"] == [50.0, 50.0]  # subset test alone: one instance of two is found
    assert printed["average_map"] == 50.0
    succeed("evaluate", predictions, truth, "--subset", "test", "--json", tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text())["average_map"] == 50.0


def test_evaluate_bad_input(predictions, truth, tmp_path, capsys):
    assert "does not exist" in fail(capsys, "evaluate", tmp_path / "absent.json", truth)
    assert "it has test, train" in fail(capsys, "evaluate", predictions, truth, "--subset", "val")
    predictions.write_text("{")
    assert "not readable JSON" in fail(capsys, "evaluate", predictions, truth)


def test_fuse_pools_models_and_keeps_videos(predictions, tmp_path):
    out = tmp_path / "fused.json.gz"
    succeed("fuse", predictions, predictions, "-o", out, "--overlap", "iou")
    found = gx.annotations.load_predictions(out)
    assert sorted(found) == ["v1", "v2"]
    assert found["v1"].labels == ["jump", "run"]
    share = 1 / (1 + np.exp((0.6 - 0.9) / 0.2))
    np.testing.assert_allclose(found["v1"].segments[0], [1.5 - 0.5 * share, 4.5 - 0.5 * share])
    succeed("fuse", predictions, "-o", tmp_path / "nms.json", "--method", "nms", "--top", "1")
    kept = gx.annotations.load_predictions(tmp_path / "nms.json")
    assert kept["v1"].segments.tolist() == [[1.0, 4.0]]


def test_fuse_leaves_an_earlier_output_intact(predictions, tmp_path, capsys):
    out = tmp_path / "fused.json"
    succeed("fuse", predictions, "-o", out)
    before = out.read_bytes()
    predictions.write_text(
        json.dumps({"results": {"v1": [{"segment": [4, 1], "label": "a", "score": 1}]}})
    )
    assert "'v1', entry 0" in fail(capsys, "fuse", predictions, "-o", out)
    assert out.read_bytes() == before
    assert "No such file" in fail(capsys, "fuse", out, "-o", tmp_path / "absent" / "x.json")


def test_label_segments(predictions, truth, tmp_path):
    succeed("label", predictions, "-o", tmp_path / "labels.npz", "--annotations", truth)
    with np.load(tmp_path / "labels.npz") as labels:
        assert labels["classes"].tolist() == ["jump"]  # v1 shows no "run"
        assert labels["v1"].shape == (32, 1)  # 20 s of 0.64 s
        assert labels["v2"].shape == (0, 1)
        column = labels["v1"][:, 0]
    assert (column[2:6] > 0.5).all()
    assert (column[8:] == 0).all()


def test_label_settings(predictions, tmp_path, monkeypatch):
    """Settings reach LinPro and are written down; how many groups it gets at once changes
    nothing."""
    arguments = ["--no-fusion", "--prices", "instance", "--anchor-weight", "0"]
    arguments += ["--confidence-weight", "1", "--weights", "confidence"]
    for folder, at_once in (("all", label.MOST_LABELS), ("each", 1)):
        monkeypatch.setattr(label, "MOST_LABELS", at_once)
        succeed("label", predictions, "-o", tmp_path / folder, *arguments)
    written = np.load(tmp_path / "all" / "v1.npy")
    assert np.array_equal(written, np.load(tmp_path / "each" / "v1.npy"))
    scores = torch.tensor([0.9, 0.6], dtype=torch.float64)
    expected = gx.linpro_labels(
        torch.tensor([[1.0, 4.0], [1.5, 4.5]], dtype=torch.float64) / 0.64,
        scores,
        len(written),
        prices="instance",
        anchor_weight=0.0,
        confidence_weight=1.0,
        weights=scores,
    )
    assert np.array_equal(written[:, 0], expected.labels.float().numpy())
    settings = json.loads((tmp_path / "all" / "labels.json").read_text())["linpro"]
    assert settings["prices"] == "instance"
    assert settings["anchor_weight"] == 0.0
    assert settings["uniformity_weight"] == 0.04


def test_label_activations(tmp_path, capsys):
    folder, classes = tmp_path / "cas", tmp_path / "classes.txt"
    folder.mkdir()
    cas = np.zeros((40, 2))
    cas[10:20, 1] = 0.8
    np.save(folder / "v.npy", cas)
    classes.write_text("jump\nrun\n")
    out = tmp_path / "labels"
    succeed("label", folder, "--classes", classes, "-o", out)
    labels = np.load(out / "v.npy")
    assert labels.shape == (40, 2)
    assert (labels[:, 0] == 0).all()
    assert labels[10:20, 1].min() > 0.5
    assert json.loads((out / "labels.json").read_text())["classes"] == ["jump", "run"]
    before = (out / "v.npy").read_bytes()
    np.save(folder / "v.npy", np.full((40, 2), np.nan))
    assert "v.npy: cas must be finite" in fail(
        capsys, "label", folder, "--classes", classes, "-o", out
    )
    np.save(folder / "v.npy", np.zeros((40, 3)))
    assert "(snippets, 2)" in fail(capsys, "label", folder, "--classes", classes, "-o", out)
    assert (out / "v.npy").read_bytes() == before


def test_simulate_train_resume_evaluate(tmp_path, capsys):
    data, run = tiny_dataset(tmp_path / "data"), tmp_path / "run"
    settings = [part for setting in SHORT for part in ("--set", setting)]
    succeed("train", data, "--output", run, *settings)
    assert "delta labels, epoch 7" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    succeed("train", data, "--output", run, "--resume", *settings)
    assert json.loads((run / "metrics.json").read_text()) == metrics
    assert "holds a run already" in fail(capsys, "train", data, "--output", run, *settings)
    # The resolved configuration starts the same run.
    succeed("train", run / "config.toml", "--output", tmp_path / "again")
    assert json.loads((tmp_path / "again" / "metrics.json").read_text()) == metrics
    capsys.readouterr()
    succeed("evaluate", run / "predictions.json", data, "--subset", "testing", "--json", "-")
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["average_map"] == pytest.approx(metrics["average_map"])


def test_two_runs_do_not_train_in_one_folder(tmp_path, capsys):
    data, run = tiny_dataset(tmp_path / "data"), tmp_path / "run"
    arguments = ["train", data, "--output", run, "--config", "simulated"]
    arguments += [part for setting in SHORT for part in ("--set", setting)]
    with locked(run):
        for option in ((), ("--resume",), ("--overwrite",)):
            error = fail(capsys, *arguments, *option)
            assert f"another run is going on in {run} (process {os.getpid()} on" in error
    succeed(*arguments)


def test_train_bad_input(tmp_path, capsys):
    data, run = tiny_dataset(tmp_path / "data"), tmp_path / "run"
    assert "neither a data set folder" in fail(capsys, "train", tmp_path / "no", "--output", run)
    assert "model.dropuot" in fail(
        capsys, "train", data, "--output", run, "--set", "model.dropuot=1"
    )
    assert "--device" in fail(capsys, "train", data, "--output", run, "--device", "tpu9")
    (tmp_path / "file").write_text("")
    assert "cannot write" in fail(capsys, "train", data, "--output", tmp_path / "file" / "run")
    assert not run.exists()


@pytest.mark.parametrize(
    ("dim", "labels", "preset"),
    [(2048, 1, "thumos14"), (2048, 3, "general"), (12, 1, "general"), (12, 3, "general")],
)
def test_preset_follows_features_and_number_of_labels(tmp_path, dim, labels, preset):
    settings = dataclasses.replace(TINY, feature_dim=dim, second_class=0.0)
    simulate(tmp_path, seed=3, settings=settings)
    (tmp_path / "train.toml").unlink()
    table = json.loads((tmp_path / "annotations.json").read_text())
    for video in table["database"].values():
        for c in range(3) if labels == 3 else ():
            video["annotations"].append({"segment": [0.0, 1.0], "label": f"action_{c}"})
    (tmp_path / "annotations.json").write_text(json.dumps(table))
    console = Console(file=io.StringIO(), width=200)
    assert find_config(tmp_path, load_dataset(tmp_path), console) == preset
    assert f"preset {preset}" in console.file.getvalue()


def test_an_impossible_setting_of_the_chosen_preset_is_named(tmp_path, capsys):
    data = tiny_dataset(tmp_path / "data")
    (data / "train.toml").unlink()
    assert "model.dropout" in fail(
        capsys, "train", data, "--output", tmp_path / "run", "--set", "model.dropout=2"
    )


@pytest.mark.real_data
def test_label_real_proposals(data_root, tmp_path):
    source = data_root / "thumos14" / "proposals_weak_train.json.gz"
    for formulation in ("uniform", "released"):
        out = tmp_path / f"{formulation}.npz"
        succeed("label", source, "-o", out, "--formulation", formulation)
        with np.load(out) as labels:
            assert len(labels.files) == 201
            for name in set(labels.files) - {"classes"}:
                values = labels[name]
                assert np.isfinite(values).all(), name
                assert values.min() >= 0 <= values.max() <= 1
                assert values.any(), name


@pytest.mark.real_data
def test_evaluate_real_proposals(data_root, capsys):
    thumos = data_root / "thumos14"
    predictions, truth = thumos / "proposals_weak_test.json.gz", thumos / "gt.json"
    succeed("evaluate", predictions, truth, "--json", "-", "--iou-thresholds", "0.1:0.1:0.7")
    found = json.loads(capsys.readouterr().out)
    expected = [69.68, 63.74, 54.63, 44.89, 34.10, 23.39, 12.47]
    assert found["map"] == pytest.approx(expected, abs=0.005)
    assert found["average_map"] == pytest.approx(43.27, abs=0.005)
    folder = thumos / "Thumos14reduced-Annotations"
    succeed(
        "evaluate", predictions, folder, "--protocol", "thumos", "--subset", "test",
        "--ambiguous", folder / "Ambiguous_test.txt", "--json", "-",
    )  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    expected = [67.92, 62.92, 53.39, 45.47, 37.23, 24.45, 11.87]
    assert found["map"] == pytest.approx(expected, abs=0.005)


def test_control_is_the_same_training_without_what_labels_teach(tmp_path, capsys):
    data = tiny_dataset(tmp_path / "data")
    settings = [
        part for setting in (*SHORT, "second_round.rounds=1") for part in ("--set", setting)
    ]
    succeed("train", data, "--output", tmp_path / "control", "--control", *settings)
    config = load_config(tmp_path / "control" / "config.toml")
    assert (config.loss.label_initial, config.loss.label_maximum) == (0.0, 0.0)
    assert config.second_round.rounds == 0
    records = [json.loads(x) for x in (tmp_path / "control/log.jsonl").read_text().splitlines()]
    losses = [record for record in records if record["kind"] == "losses"]
    assert [record["epoch"] for record in losses] == list(range(1, 8))
    assert not any("label" in record for record in losses)
    # Until the first labels it is the run that it is compared with.
    succeed("train", data, "--output", tmp_path / "full", *settings)
    lines = (tmp_path / "full/log.jsonl").read_text().splitlines()
    full = [record for record in map(json.loads, lines) if record["kind"] == "losses"]
    assert full[:2] == losses[:2]
    assert full[2]["label"] > 0.0
