"""When labels are made, and what an online teacher does."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from gaufuse.config import load_config
from gaufuse.data.dataset import load_dataset
from gaufuse.labels.online_teacher import OnlineTeacher
from gaufuse.labels.pseudo_labels import label_batch, make_labels
from gaufuse.model.rskp import SnippetModel
from gaufuse.training.run_folder import prepare_folder
from gaufuse.training.schedule import refresh_index
from gaufuse.training.trainer import Trainer
from gaufuse.utils.distributed import World
from training_setups import run_until, short_config, tiny_dataset

CPU = torch.device("cpu")
ONLINE = ("schedule.policy=online", "schedule.teacher_decay=0.9", "schedule.teacher_every=2")


@pytest.fixture
def dataset(tmp_path: Path):
    return load_dataset(tiny_dataset(tmp_path / "data"))


def trainer(dataset, output: Path, *overrides: str, resume: bool = False) -> Trainer:
    folder = prepare_folder(output, resume, overwrite=False)
    made = Trainer(dataset, short_config(*overrides), folder, CPU, Console(file=io.StringIO()))
    if resume:
        made.resume()
    return made


def records(output: Path, kind: str) -> dict[int, dict]:
    lines = (output / "log.jsonl").read_text().splitlines()
    return {r["epoch"]: r for r in map(json.loads, lines) if r["kind"] == kind}


def test_every_refreshes_from_the_base_phase_on():
    config = short_config("schedule.policy=every", "schedule.every=2")
    refreshes = [refresh_index(config, epoch) for epoch in range(1, 8)]
    assert refreshes == [None, 0, None, 1, None, 2, None]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("schedule.policy=every", "schedule.every=5"), "'delta' starts after epoch 4"),
        (("schedule.policy=sometimes",), "schedule.policy"),
        (("schedule.every=0",), "schedule.every"),
        (("schedule.teacher_decay=1.0",), "schedule.teacher_decay"),
        (
            (
                "schedule.policy=online",
                'schedule.target=[{until=2, kind="none"}, {until=7, kind="delta"}]',
            ),
            "'delta' starts after epoch 2",
        ),
    ],
)
def test_a_policy_that_cannot_be_is_named(overrides, message):
    with pytest.raises(ValueError, match=message):
        short_config(*overrides)


def test_a_run_that_refreshes_every_epoch(dataset, tmp_path):
    run = trainer(dataset, tmp_path / "run", "schedule.policy=every", "schedule.every=1")
    run.run()
    assert sorted(records(tmp_path / "run", "refresh")) == [2, 3, 4, 5, 6]


def test_an_online_run_trains_on_labels_and_logs_them_each_epoch(dataset, tmp_path):
    trainer(dataset, tmp_path / "run", *ONLINE).run()
    refreshes = records(tmp_path / "run", "refresh")
    assert sorted(refreshes) == [3, 4, 5, 6, 7]
    assert refreshes[3]["change"] == 0.0 < refreshes[4]["change"]
    assert 0.0 < refreshes[4]["coverage"] <= 1.0
    losses = records(tmp_path / "run", "losses")
    assert "label" not in losses[2]
    assert all("label" in losses[epoch] for epoch in (3, 4, 5, 6, 7))


def test_a_resumed_online_run_repeats_an_uninterrupted_one_to_the_bit(dataset, tmp_path):
    whole = trainer(dataset, tmp_path / "whole", *ONLINE)
    expected = whole.run()
    for stop in (2, 4, 6):
        output = tmp_path / f"stopped-{stop}"
        run_until(trainer(dataset, output, *ONLINE), stop)
        second = trainer(dataset, output, *ONLINE, resume=True)
        assert second.run() == expected
        for mine, other in (
            (whole.model, second.model),
            (whole.teacher.model, second.teacher.model),
        ):
            for name, value in mine.state_dict().items():
                assert torch.equal(value, other.state_dict()[name]), name
        given = second.teacher.state_dict()["given"]
        for video, own in whole.teacher.state_dict()["given"].items():
            assert all(map(torch.equal, own, given[video]))


def test_the_teachers_labels_and_their_change(dataset):
    config = short_config(*ONLINE, "schedule.teacher_every=1")
    none, labels, delta = config.schedule.target
    model, teacher = started_teacher(dataset, config)
    batch = dataset.training.batch([3, 1])
    assert teacher.target(batch, none) is None
    expected, _ = make_labels(model, dataset.training, config, 0, CPU)
    target = teacher.target(batch, labels)
    for row, video in enumerate(batch.videos):
        size = batch.sizes[row]
        torch.testing.assert_close(target.values[row, :size], expected[video])
        assert (target.values[row, size:] == 0).all()
    assert (teacher.target(batch, delta).values == 0).all()  # the teacher has not moved

    before = copy.deepcopy(teacher.model.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    teacher.follow(model)
    for name, parameter in model.named_parameters():
        followed = 0.9 * before[name] + 0.1 * parameter
        torch.testing.assert_close(teacher.model.state_dict()[name], followed.detach())
    moved, _ = make_labels(teacher.model, dataset.training, config, 0, CPU)
    change = teacher.target(batch, delta)
    assert change.total == 0.0
    for row, video in enumerate(batch.videos):
        own = change.values[row, : batch.sizes[row]]
        torch.testing.assert_close(own, delta.gain * (moved[video] - expected[video]))
    assert change.values.abs().sum() > 0


def test_a_video_has_new_labels_at_every_so_many_visits(dataset):
    target = 'schedule.target=[{until=2, kind="none"}, {until=7, kind="labels"}]'
    config = short_config(*ONLINE, "schedule.teacher_every=3", target)
    phase = config.schedule.target[1]
    model, teacher = started_teacher(dataset, config)
    videos = list(range(4))
    batch = dataset.training.batch(videos)
    renewed = []
    for _ in range(7):
        before = dict(teacher.state_dict()["given"])
        target = teacher.target(batch, phase)
        after = teacher.state_dict()["given"]
        renewed.append([v for v in videos if v not in before or after[v][0] is not before[v][0]])
        for row, size, own in zip(target.values, batch.sizes, after.values(), strict=True):
            assert torch.equal(row[:size], phase.gain * own[0])
        teacher.end_epoch(World())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        teacher.follow(model)
    assert renewed == [videos, [2], [1], [0, 3], [2], [1], [0, 3]]


def test_labels_of_some_of_a_batch_equal_those_of_all(dataset):
    config = short_config()
    model, _ = started_teacher(dataset, config)
    batch = dataset.training.batch([0, 1, 2, 3])
    whole, *_ = label_batch(model, batch, config, 0.02)
    some, *_ = label_batch(model, batch.select([3, 1]), config, 0.02)
    for row, video in enumerate([3, 1]):
        size = batch.sizes[video]
        torch.testing.assert_close(some[row, :size], whole[video, :size])
        assert (some[row, size:] == 0).all()


def test_labels_in_bfloat16_are_about_those_in_float32(dataset):
    """The setting reaches the embedding, and moves labels by its rounding, not more."""
    model, _ = started_teacher(dataset, short_config())
    exact, _ = make_labels(model, dataset.training, short_config(), 0, CPU)
    rounded, _ = make_labels(
        model, dataset.training, short_config("training.label_precision=bf16"), 0, CPU
    )
    differences = torch.cat([(a - b).abs().flatten() for a, b in zip(exact, rounded, strict=True)])
    assert 0.0 < differences.mean() < 0.01


def started_teacher(dataset, config) -> tuple[SnippetModel, OnlineTeacher]:
    torch.manual_seed(0)
    info = dataset.info
    model = SnippetModel(info.feature_dim, len(info.classes), config.model).eval()
    teacher = OnlineTeacher(config)
    teacher.start(model)
    return model, teacher


def test_presets_keep_the_papers_schedule():
    assert load_config("thumos14").schedule.policy == "schedule"
