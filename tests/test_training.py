"""Whole runs on a tiny data set: what they leave behind, how they stop and go on."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

import gaufuse_ext as gx
from gaufuse.data.dataset import load_dataset
from gaufuse.labels.pseudo_labels import LabelBank, make_labels
from gaufuse.model.checkpoint import latest_checkpoint, load_checkpoint
from gaufuse.training.run_folder import prepare_folder
from gaufuse.training.trainer import Trainer
from training_setups import run_until, short_config, tiny_dataset

CPU = torch.device("cpu")


@pytest.fixture
def dataset(tmp_path: Path):
    return load_dataset(tiny_dataset(tmp_path / "data"))


def trainer(dataset, output: Path, *overrides: str, resume: bool = False) -> Trainer:
    folder = prepare_folder(output, resume, overwrite=False)
    console = Console(file=io.StringIO())
    made = Trainer(dataset, short_config(*overrides), folder, CPU, console)
    if resume:
        made.resume()
    return made


@pytest.mark.parametrize("video_loss", ["softmax", "sigmoid"])
def test_a_run_leaves_what_it_promises(dataset, tmp_path, video_loss):
    output = tmp_path / "run"
    metrics = trainer(dataset, output, f"loss.video={video_loss}").run()
    assert metrics == json.loads((output / "metrics.json").read_text())
    assert metrics["iou_thresholds"] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    again = gx.detection_map(output / "predictions.json", {"database": dataset.testing.annotations})
    assert again.average_map == pytest.approx(metrics["average_map"])
    base = next(entry for entry in metrics["evaluations"] if entry["epoch"] == 2)
    assert base["average_map"] == metrics["base_average_map"]
    records = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    refreshes = [record for record in records if record["kind"] == "refresh"]
    assert [record["epoch"] for record in refreshes] == [2, 4, 5]
    assert refreshes[0]["change"] == 0.0 < refreshes[1]["change"]
    losses = {r["epoch"]: r for r in records if r["kind"] == "losses"}
    assert "label" not in losses[2]
    assert "label" in losses[3]


@pytest.mark.parametrize(
    "settings",
    [
        ["loss.video=softmax"],
        ["loss.video=sigmoid", "second_round.rounds=1", "second_round.across=true"],
        ["loss.video=sigmoid", "schedule.policy=online", "schedule.teacher_every=1"],
    ],
    ids=["softmax", "second round", "online"],
)
def test_videos_that_show_no_class_teach_that(tmp_path, settings):
    folder = tiny_dataset(tmp_path / "data")
    info, annotations = folder / "dataset.toml", folder / "annotations.json"
    info.write_text("background_videos = true\n" + info.read_text())
    table = json.loads(annotations.read_text())
    table["database"]["training_0003"]["annotations"] = []
    annotations.write_text(json.dumps(table))
    run = trainer(load_dataset(folder), tmp_path / "run", "data.batch_size=1", *settings)
    run.run()
    if run.labels.current is not None:
        assert run.labels.current[3].abs().max() == 0.0
        assert max(labels.max() for labels in run.labels.current) > 0.0


def test_a_resumed_run_repeats_an_uninterrupted_one_to_the_bit(dataset, tmp_path):
    whole = trainer(dataset, tmp_path / "whole")
    expected = whole.run()
    for stop in (1, 3, 5):
        output = tmp_path / f"stopped-{stop}"
        run_until(trainer(dataset, output), stop)
        second = trainer(dataset, output, resume=True)
        assert second.epoch == stop
        assert second.run() == expected
        for name, value in whole.model.state_dict().items():
            assert torch.equal(value, second.model.state_dict()[name]), name
        assert torch.equal(whole.memory.rows, second.memory.rows)
        assert all(map(torch.equal, whole.labels.current, second.labels.current))
        for name in ("log.jsonl", "predictions.json", "metrics.json"):
            assert (output / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_resume_after_the_data_set_has_moved(dataset, tmp_path):
    output = tmp_path / "run"
    trainer(dataset, output, 'data.root="here"').run()
    assert trainer(dataset, output, 'data.root="there"', resume=True).epoch == 7


def test_resume_refuses_another_configuration(dataset, tmp_path):
    output = tmp_path / "run"
    trainer(dataset, output).run()
    with pytest.raises(ValueError, match="another configuration"):
        trainer(dataset, output, "model.dropout=0.1", resume=True)


def test_a_run_is_not_overwritten_unasked(dataset, tmp_path):
    output = tmp_path / "run"
    trainer(dataset, output).run()
    before = (output / "metrics.json").read_bytes()
    with pytest.raises(ValueError, match="holds a run already"):
        trainer(dataset, output)
    assert (output / "metrics.json").read_bytes() == before


def test_resume_without_a_checkpoint(dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no checkpoint to go on from"):
        trainer(dataset, tmp_path / "run", resume=True)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(dataset, tmp_path):
    run = trainer(dataset, tmp_path / "run")
    train_epoch = run._train_epoch

    def poison():
        if run.epoch == 4:
            with torch.no_grad():
                run.model.mu.fill_(torch.nan)
        return train_epoch()

    run._train_epoch = poison
    with pytest.raises(RuntimeError, match="not finite in epoch 4"):
        run.run()
    state = load_checkpoint(latest_checkpoint(tmp_path / "run" / "checkpoints"))
    assert state.epoch == 3
    assert all(torch.isfinite(value).all() for value in state.model.values())


def test_labels_are_made_without_dropout_and_leave_the_model_training(dataset, tmp_path):
    run = trainer(dataset, tmp_path / "run")
    run.model.train()
    first, _ = make_labels(run.model, dataset.training, run.config, 0, CPU)
    second, statistics = make_labels(run.model, dataset.training, run.config, 0, CPU, first)
    assert run.model.training
    assert all(map(torch.equal, first, second))
    assert statistics.change == 0.0
    for labels, known in zip(first, dataset.training.labels, strict=True):
        assert labels.min() >= 0
        assert labels.max() <= 1
        assert (labels[:, known == 0] == 0).all()  # classes = "known"


def test_label_bank_targets(dataset):
    bank = LabelBank()
    batch = dataset.training.batch([0, 1])
    old = [torch.rand(len(x), 3) for x in dataset.training.features]
    new = [torch.rand(len(x), 3) for x in dataset.training.features]
    bank.replace(old)
    bank.replace(new)
    config = short_config(
        'schedule.target=[{until=2, kind="none"}, {until=4, kind="labels"}, '
        '{until=7, kind="delta", gain=2.5}]'
    )
    none, labels, delta = config.schedule.target
    assert bank.target(batch, none) is None
    length = len(new[1])
    target = bank.target(batch, labels)
    assert target.total == 1.0
    torch.testing.assert_close(target.values[1, :length], new[1])
    target = bank.target(batch, delta)
    assert target.total == 0.0
    torch.testing.assert_close(target.values[1, :length], 2.5 * (new[1] - old[1]))
    assert (target.values[1, length:] == 0).all()


def test_a_label_bank_is_stored_by_its_columns():
    bank = LabelBank()
    labels = torch.zeros(50, 200)
    labels[:, 7] = torch.rand(50)
    labels[3, 150] = 0.5
    bank.replace([labels, torch.zeros(4, 200)])
    state = bank.state_dict()
    assert state["previous"] is None
    assert state["current"][0]["columns"].tolist() == [7, 150]
    assert sum(video["values"].untyped_storage().nbytes() for video in state["current"]) == 400
    other = LabelBank()
    other.load_state_dict(state)
    assert all(map(torch.equal, other.current, bank.current))
    assert other.previous is None


@pytest.mark.gpu
def test_a_run_on_the_gpu_agrees_with_the_cpu(dataset, tmp_path):
    """Without dropout both draw no random numbers but the order of videos."""
    results = []
    for device in (CPU, torch.device("cuda")):
        run = trainer(dataset, tmp_path / device.type, "model.dropout=0.0")
        run.device = device
        results.append(
            Trainer(
                dataset,
                run.config,
                prepare_folder(tmp_path / f"{device.type}-run", False, False),
                device,
                Console(file=io.StringIO()),
            ).run()
        )
    assert results[0]["map"] == pytest.approx(results[1]["map"], abs=2.0)
