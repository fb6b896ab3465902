"""The configuration is typed and checked; what is wrong is named."""

from __future__ import annotations

import tomllib

import pytest

from gaufuse.config import dump_config, load_config, presets, validate
from gaufuse.training.schedule import label_weight_at, refresh_index, target_at, value_at


@pytest.mark.parametrize("name", presets())
def test_presets_load_and_survive_a_round_trip(name):
    config = load_config(name)
    assert validate(tomllib.loads(dump_config(config)), name) == config


def test_thumos14_is_the_papers_schedule():
    config = load_config("thumos14")
    rates = [value_at(config.optimizer.learning_rate, epoch) for epoch in (80, 81, 245, 260, 350)]
    assert rates == [5e-5, 4e-5, 2.048e-5, 5.12e-7, 2.56e-7]
    assert [value_at(config.loss.spl_weight, epoch) for epoch in (100, 101, 201)] == [1.0, 0.5, 1.0]
    kinds = [(target_at(config, e).kind, target_at(config, e).gain) for e in (200, 201, 251, 301)]
    assert kinds == [("none", 1.0), ("labels", 1.0), ("delta", 2.0), ("delta", 2.15)]
    assert [refresh_index(config, epoch) for epoch in (199, 200, 300)] == [None, 0, 5]
    assert label_weight_at(config, 200) == 10.0
    assert label_weight_at(config, 210) == pytest.approx(10.0 * 1.035**10)
    assert label_weight_at(config, 350) == 50.0
    temperatures = [0.02 * factor for factor in (1, 1, 1, 0.1, 0.1, 0.08)]
    assert config.labels.temperature == pytest.approx(temperatures)


def test_activitynet13_is_what_rskps_authors_say():
    config = load_config("activitynet13")
    model, loss = config.model, config.loss
    assert (model.dropout, model.scale, model.representatives, model.em_iterations) == (
        0.7, 10.0, 8, 2,
    )  # fmt: skip
    assert (loss.background_weight, loss.attention_weight, loss.label_original) == (0.1, 0.1, 0.8)
    assert {value_at(loss.spl_weight, epoch) for epoch in (1, 60, 105)} == {1.0}
    assert value_at(config.optimizer.learning_rate, 60) == 2e-5
    assert config.optimizer.weight_decay == 1e-3
    assert config.schedule.base_epochs == 60
    assert config.evaluation.protocol == "activitynet"
    assert config.evaluation.iou_thresholds == (0.5, 0.05, 0.95)


def test_every_preset_that_users_are_told_of_is_there():
    assert {
        "thumos14", "thumos14_release", "activitynet13", "general", "context",
        "simulated",
    } <= set(presets())  # fmt: skip


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.dropuot=0.5", "model.dropuot"),
        ("model.dropout=1.5", "model.dropout"),
        ('model.dropout="much"', "model.dropout"),
        ("loss.video=hinge", "loss.video"),
        ("schedule.refresh=[230, 200]", "rising order"),
        ("schedule.refresh=[400]", "must come before epoch"),
        ("schedule.epochs=400", "reach epoch 400"),
        ('schedule.target=[{until=350, kind="delta"}]', "needs 2 refresh"),
        ('testing.classes="known"', "testing.classes"),
        ("release_quirks.nan_labels=true", "release_quirks.nan_labels"),
        ("selection.by=train", "selection.by"),
        ("selection.fraction=1.0", "selection.fraction"),
        ("nonsense", "section.key=value"),
        ("seed.deep=1", "not a section"),
    ],
)
def test_a_wrong_setting_is_named(override, message):
    with pytest.raises(ValueError, match=message):
        load_config("thumos14", [override])


def test_a_file_starts_from_a_preset_and_names_only_what_differs(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "thumos14"\n[data]\nroot = "videos"\n[model]\ndropout = 0.7\n')
    config = load_config(path)
    assert config.model.dropout == 0.7
    assert config.model.representatives == 8
    assert config.data.root == str(tmp_path / "videos")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a file nor a preset"):
        load_config(tmp_path / "absent.toml")
    path = tmp_path / "broken.toml"
    path.write_text("[model")
    with pytest.raises(ValueError, match="not valid TOML"):
        load_config(path)
    path.write_text('base = "imagenet"')
    with pytest.raises(ValueError, match="base must be one of"):
        load_config(path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.iou_thresholds=[0.5, 0.0, 0.9]", "expected first:step:last with a positive"),
        ("evaluation.iou_thresholds=[0.9, 0.1, 0.5]", "expected first:step:last with a positive"),
        ("evaluation.iou_thresholds=[0.0, 0.1, 0.5]", "tIoU thresholds must lie in"),
        ("evaluation.iou_thresholds=[50.0, 5.0, 95.0]", "tIoU thresholds must lie in"),
        ("testing.thresholds=[0.1, -0.1, 0.5]", "expected first:step:last with a positive"),
    ],
)
def test_threshold_ranges_are_checked_when_they_are_read(override, message):
    with pytest.raises(ValueError, match=message):
        load_config("simulated", [override])
