"""Which epoch's model is the result, and the videos that choose it."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console

import gaufuse_ext as gx
from gaufuse.config import SelectionConfig
from gaufuse.data.dataset import load_dataset
from gaufuse.localization.detect import detect
from gaufuse.localization.evaluation import (
    classification_map,
    selection_metric,
    split_off,
    validation_score,
)
from gaufuse.model.checkpoint import checkpoints_in, load_checkpoint
from gaufuse.training import trainer as trainer_module
from gaufuse.training.run_folder import prepare_folder
from gaufuse.training.trainer import Trainer
from training_setups import short_config, tiny_dataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(tiny_dataset(tmp_path_factory.mktemp("selection") / "data"))


def make_trainer(dataset, output, *overrides: str) -> Trainer:
    config = short_config("schedule.evaluate_every=1", *overrides)
    return Trainer(
        dataset, config, prepare_folder(output, False, False), CPU, Console(file=io.StringIO())
    )


def selection(**changes) -> SelectionConfig:
    return SelectionConfig(by="validation", **changes)


def test_classification_map_by_hand():
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
    scores = torch.tensor([[0.9, 0.1, 1.0], [0.8, 0.7, 1.0], [0.7, 0.9, 1.0], [0.1, 0.8, 1.0]])
    # Class 0: hits at ranks 1 and 3; class 1: at 1 and 3; class 2 does not occur.
    assert classification_map(scores, labels) == pytest.approx(100 * np.mean([1, 2 / 3]))
    assert classification_map(labels, labels) == 100.0


def test_the_split_is_drawn_from_the_seed_and_leaves_every_class(dataset):
    training = dataset.training
    kept, held_out = split_off(training, selection(fraction=0.3))
    assert len(held_out) == 3
    assert sorted(kept.names + held_out.names) == sorted(training.names)
    assert (kept.labels.sum(0) > 0).all()
    for subset in (kept, held_out):
        for i, name in enumerate(subset.names):
            place = training.names.index(name)
            assert torch.equal(subset.features[i], training.features[place])
            assert torch.equal(subset.labels[i], training.labels[place])
        assert list(subset.annotations) == subset.names
    assert split_off(training, selection(fraction=0.3))[1].names == held_out.names
    others = [split_off(training, selection(fraction=0.3, seed=s))[1].names for s in range(1, 6)]
    assert any(names != held_out.names for names in others)
    most = split_off(training, selection(fraction=0.99))[0]
    assert (most.labels.sum(0) > 0).all()


def test_nothing_to_hold_out(dataset):
    classes = [int(row.argmax()) for row in dataset.training.labels]
    one_each = dataset.training.select([classes.index(c) for c in range(3)])
    with pytest.raises(ValueError, match="none can be held out"):
        split_off(one_each, selection())


def test_the_metric_follows_the_annotations(dataset, tmp_path):
    videos = dataset.training.select([0, 1, 2])
    assert selection_metric(selection(), videos) == "detection"
    assert selection_metric(selection(metric="classification"), videos) == "classification"
    name = videos.names[0]
    first = videos.annotations[name]
    videos.annotations[name] = type(first)(
        np.zeros_like(first.segments), first.labels, first.scores
    )
    assert selection_metric(selection(), videos) == "classification"
    run = make_trainer(dataset, tmp_path / "run", 'selection.metric="classification"')
    assert 0.0 < validation_score(run.model, videos, run.config, CPU) <= 100.0


@pytest.mark.parametrize("by", ["last", "validation", "test"])
def test_the_chosen_epochs_model_is_the_result(dataset, tmp_path, monkeypatch, by):
    output = tmp_path / "run"
    run = make_trainer(
        dataset,
        output,
        f'selection.by="{by}"',
        "selection.fraction=0.3",
        "schedule.checkpoints_kept=1",
    )
    detected = []
    monkeypatch.setattr(
        trainer_module, "detect", lambda *args: detected.append(args[1]) or detect(*args)
    )
    # What would be chosen must not depend on how little the tiny model learns.
    scores = iter([1.0, 3.0, 2.0, 3.0, 0.0, 0.0, 0.0])
    monkeypatch.setattr(trainer_module, "validation_score", lambda *args: next(scores))
    metrics = run.run()
    expected = {
        "last": 7,
        "validation": 2,
        "test": max(metrics["evaluations"], key=lambda e: e["average_map"])["epoch"],
    }[by]
    assert metrics["chosen_epoch"] == expected
    assert metrics["map"] == metrics["evaluations"][expected - 1]["map"]
    predictions = json.loads((output / "predictions.json").read_text())["results"]
    again = gx.detection_map(
        {"results": predictions}, {"database": dataset.testing.annotations}, protocol="activitynet"
    )
    assert again.average_map == pytest.approx(metrics["average_map"])
    # Its checkpoint outlives pruning, and no epoch's videos are gone through twice.
    assert set(checkpoints_in(output / "checkpoints")) == {expected, 7}
    assert len(detected) == 7 + (expected != 7)
    assert all(subset is dataset.testing for subset in detected)
    state = load_checkpoint(checkpoints_in(output / "checkpoints")[expected])
    run.model.load_state_dict(state.model)
    assert detect(run.model, dataset.testing, run.config, CPU) == predictions


def test_videos_held_out_are_not_trained_on(dataset, tmp_path):
    run = make_trainer(dataset, tmp_path / "run", 'selection.by="validation"')
    assert not set(run.training.names) & set(run.validation.names)
    assert set(run.training.names) | set(run.validation.names) == set(dataset.training.names)
    run.run()
    assert len(run.labels.current) == len(run.training)
    videos = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["videos"]
    assert videos == {"training": 8, "testing": 6, "validation": 1}
