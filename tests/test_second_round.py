"""Students that learn the labels of the finished model."""

from __future__ import annotations

import io
import json

import pytest
import torch
from rich.console import Console

from benchmarks.training.student import LiteralStudent
from gaufuse.data.dataset import load_dataset
from gaufuse.labels.pseudo_labels import ground_truth_labels, make_labels, make_labels_by
from gaufuse.localization.detect import detect
from gaufuse.localization.evaluation import detection_score
from gaufuse.model.checkpoint import checkpoints_in
from gaufuse.model.class_activations import class_activations
from gaufuse.model.fused_models import FusedModels
from gaufuse.model.rskp import SnippetModel
from gaufuse.model.temporal_student import TemporalStudent
from gaufuse.model.weights import build_model, initialise, load_weights
from gaufuse.training.run_folder import prepare_folder
from gaufuse.training.second_round import (
    halves_of,
    new_student,
    student_config,
    student_epochs,
    train_student,
)
from gaufuse.training.trainer import Trainer
from gaufuse.utils.distributed import World
from training_setups import short_config, tiny_dataset

CPU = torch.device("cpu")
STUDENTS = (
    "second_round.rounds=2",
    "second_round.epochs=3",
    "second_round.least_steps=0",
    "second_round.width=8",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(tiny_dataset(tmp_path_factory.mktemp("second") / "data"))


def make_trainer(dataset, output, *overrides: str, resume: bool = False) -> Trainer:
    folder = prepare_folder(output, resume, overwrite=False)
    config = short_config(*STUDENTS, *overrides)
    trainer = Trainer(dataset, config, folder, CPU, Console(file=io.StringIO()))
    if resume:
        trainer.resume()
    return trainer


def test_a_videos_outputs_do_not_depend_on_what_it_is_padded_with():
    torch.manual_seed(0)
    config = short_config("model.kernel=[1,3]", "second_round.width=8", "second_round.share=0.3")
    base = SnippetModel(5, 3, config.model)
    student = TemporalStudent(5, 3, config.second_round)
    for part in (base, student):
        part.standardize(torch.full((5,), 2.0), torch.full((5,), 0.5))
    model = FusedModels(base, student, config).eval()
    sizes = [9, 4, 1]
    videos = [torch.rand(length, 5) for length in sizes]
    features = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=7.0)
    mask = torch.arange(9) < torch.tensor(sizes)[:, None]
    together = model(features, mask, sizes)
    for row, video in enumerate(videos):
        one = torch.ones(1, len(video), dtype=torch.bool)
        alone = model(video[None], one)
        scores = together.original.scores[row, : len(video)]
        torch.testing.assert_close(scores, alone.original.scores[0])
        torch.testing.assert_close(together.original.video[row], alone.original.video[0])
        mixed = 0.3 * student.logits(video[None], one).sigmoid()
        mixed += 0.7 * class_activations(base(video[None], one), config.testing)
        torch.testing.assert_close(alone.original.scores[..., :-1].sigmoid(), mixed)
    assert together.original.scores.shape == (3, 9, 4)


@pytest.mark.parametrize("known", [True, False], ids=["lengths", "mask"])
def test_a_student_computes_what_torchs_own_layers_do(known):
    torch.manual_seed(0)
    nothing_dropped = ("second_round.dropout=0.0", "second_round.input_dropout=0.0")
    config = short_config("second_round.width=8", *nothing_dropped).second_round
    student = TemporalStudent(5, 3, config)
    student.standardize(torch.full((5,), 2.0), torch.full((5,), 0.5))
    literal = LiteralStudent(5, 3, config)
    literal.load_state_dict(student.state_dict())
    sizes = [9, 4, 1]
    mask = torch.arange(9) < torch.tensor(sizes)[:, None]
    features, factors = torch.rand(3, 9, 5), torch.rand(3, 9, 3) * mask.unsqueeze(-1)
    found = student.logits(features, mask, sizes if known else None)
    expected = literal.logits(features, mask)
    torch.testing.assert_close(found[mask], expected[mask], rtol=1e-4, atol=1e-5)
    (found * factors).sum().backward()
    (expected * factors).sum().backward()
    for name, parameter in student.named_parameters():
        theirs = literal.get_parameter(name).grad
        torch.testing.assert_close(parameter.grad, theirs, rtol=1e-4, atol=1e-4, msg=name)


def test_a_share_of_one_is_the_student_alone():
    config = short_config("second_round.width=8", "second_round.share=1.0")
    student = TemporalStudent(5, 3, config.second_round)
    model = FusedModels(SnippetModel(5, 3, config.model), student, config).eval()
    features, mask = torch.rand(2, 6, 5), torch.ones(2, 6, dtype=torch.bool)
    scores = model(features, mask).original.scores[..., :-1]
    torch.testing.assert_close(scores, student.logits(features, mask), rtol=1e-4, atol=1e-4)


def test_a_student_learns_labels_that_say_what_is_there(dataset):
    fast = ("second_round.learning_rate=1e-2", "second_round.warmup_steps=5")
    config = short_config(*STUDENTS, "second_round.epochs=30", "second_round.width=16", *fast)
    training, losses = dataset.training, []
    labels = ground_truth_labels(training)
    student = new_student(training, config, CPU)

    def batches(order):
        for share in World().steps(order, config.data.batch_size):
            yield share, training.batch(share.videos)

    everyone = list(range(len(labels)))

    def note(epoch: int, loss: float) -> None:
        losses.append(loss)

    train_student(student, labels, everyone, batches, config, 0, World(), note)
    assert len(losses) == 30
    assert losses[-1] < 0.5 * losses[0]
    batch = training.batch(list(range(len(training))))
    with torch.no_grad():
        scores = student.logits(batch.features, batch.mask, batch.sizes).sigmoid()
    truth = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True)
    inside, outside = scores[truth > 0].mean(), scores[(truth == 0) & batch.mask[..., None]].mean()
    assert float(inside) > 2.0 * float(outside)


def test_students_come_last_and_their_checkpoints_detect(dataset, tmp_path):
    trainer = make_trainer(dataset, tmp_path / "run")
    metrics = trainer.run()
    phases = [entry["phase"] for entry in metrics["evaluations"]]
    assert phases == ["base model", "pseudo labels", "delta labels", "student 1", "student 2"]
    assert [entry["epoch"] for entry in metrics["evaluations"]] == [2, 4, 7, 10, 13]
    assert metrics["average_map"] == metrics["evaluations"][-1]["average_map"]
    weights = load_weights(checkpoints_in(tmp_path / "run" / "checkpoints")[13])
    assert weights.has_student
    model = build_model(weights, weights.config)
    results = detect(model, dataset.testing, student_config(weights.config), CPU)
    assert results == json.loads((tmp_path / "run/predictions.json").read_text())["results"]
    records = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records if r["kind"] == "refresh"] == [2, 4, 5, 8, 11]
    assert [r["epoch"] for r in records if "student" in r] == [8, 9, 10, 11, 12, 13]
    other = make_trainer(dataset, tmp_path / "other").model
    initialise(other, weights)  # a run starts from its base model
    assert torch.equal(other.mu, model.base.mu)


@pytest.mark.parametrize("across", ["false", "true"])
@pytest.mark.parametrize("stop", [7, 10])
def test_a_run_that_ends_in_the_second_round_goes_on_to_the_same_result(
    dataset, tmp_path, stop, across
):
    across = f"second_round.across={across}"
    whole = make_trainer(dataset, tmp_path / "whole", across).run()
    cut = make_trainer(dataset, tmp_path / "cut", across)
    train = cut._train_student

    def until(student: int) -> None:
        if cut.epoch == stop:
            raise KeyboardInterrupt
        train(student)

    cut._train_student = until
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    resumed = make_trainer(dataset, tmp_path / "cut", across, resume=True)
    assert resumed.epoch == stop
    assert resumed.run() == whole
    for name in ("predictions.json", "log.jsonl"):
        assert (tmp_path / "cut" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_the_best_epoch_may_be_one_before_the_second_round(dataset, tmp_path):
    trainer = make_trainer(
        dataset, tmp_path / "run", "selection.by=test", "schedule.checkpoints_kept=9"
    )
    metrics = trainer.run()
    best = max(metrics["evaluations"], key=lambda entry: entry["average_map"])
    assert metrics["chosen_epoch"] == best["epoch"]
    for entry in metrics["evaluations"]:
        trainer._detections = None
        again = trainer._detections_after(entry["epoch"])
        score = detection_score(again, dataset.testing, trainer.config)
        assert score.average_map == pytest.approx(entry["average_map"], abs=1e-9)


def test_labels_across_are_of_students_that_have_not_seen_the_video(dataset, tmp_path, monkeypatch):
    trainer = make_trainer(
        dataset, tmp_path / "run", "second_round.rounds=1", "second_round.across=true"
    )
    learned: list[tuple[TemporalStudent, list[int], list[torch.Tensor]]] = []

    def note(student, labels, videos, *arguments):
        train_student(student, labels, videos, *arguments)
        learned.append((student, videos, labels))

    monkeypatch.setattr("gaufuse.training.trainer.train_student", note)
    metrics = trainer.run()
    assert [entry["epoch"] for entry in metrics["evaluations"]] == [2, 4, 7, 10]
    (one, first, own), (other, second, _), (last, everyone, across) = learned
    assert sorted(first + second) == everyone == list(range(len(dataset.training)))
    assert trainer.model.student is last
    assert not all(torch.equal(a, b) for a, b in zip(own, across, strict=True))
    path = student_config(trainer.config)
    refreshes = len(trainer.config.schedule.refreshes)
    for student, unseen in ((one, second), (other, first)):
        model = FusedModels(trainer.base, student, trainer.config).eval()
        labels, _ = make_labels(model, dataset.training.select(unseen), path, refreshes, CPU)
        for video, expected in zip(unseen, labels, strict=True):
            assert torch.equal(across[video], expected)
    records = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records if r["kind"] == "refresh"] == [2, 4, 5, 8, 8]
    assert [r["epoch"] for r in records if "student" in r] == [8, 9, 10]


def test_several_models_share_the_videos_out(dataset):
    """Statistics are of all videos together."""
    config = short_config("model.kernel=3")
    training = dataset.training
    torch.manual_seed(0)
    info = training.info
    model = SnippetModel(info.feature_dim, len(info.classes), config.model)
    labels, statistics = make_labels(model, training, config, 0, CPU)
    halves = halves_of(len(training), seed=3)
    parts = make_labels_by([(model, half) for half in halves], training, config, 0, CPU, labels)
    for own, expected in zip(parts[0], labels, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)
    assert parts[1].coverage == pytest.approx(statistics.coverage, abs=1e-6)
    assert parts[1].instances == pytest.approx(statistics.instances)
    assert parts[1].change == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("videos", [2, 5, 12])
def test_halves_are_all_videos_once(videos):
    halves = halves_of(videos, seed=1)
    assert sorted(halves[0] + halves[1]) == list(range(videos))
    assert len(halves[1]) - len(halves[0]) in (0, 1)
    assert halves == halves_of(videos, seed=1)


def test_half_of_one_video_is_that_video():
    assert halves_of(1, seed=0) == [[0], [0]]


def test_small_data_sets_take_more_epochs():
    config = short_config("second_round.least_steps=100", "second_round.epochs=20")
    assert student_epochs(config, 9) == 34  # three steps an epoch
    assert student_epochs(config, 400) == 20


def test_ground_truth_labels_by_hand(dataset):
    labels = ground_truth_labels(dataset.training)
    name = dataset.training.names[0]
    own, seconds = dataset.training.annotations[name], dataset.training.snippet_seconds[0]
    expected = torch.zeros_like(labels[0])
    for (start, end), label in zip(own.segments, own.labels, strict=True):
        for snippet in range(len(expected)):
            if round(start / seconds) <= snippet < round(end / seconds):
                expected[snippet, dataset.info.classes.index(label)] = 1.0
    assert torch.equal(labels[0], expected)
    assert expected.sum() > 0


def test_an_oracle_trains_on_ground_truth(dataset, tmp_path):
    trainer = make_trainer(dataset, tmp_path / "run", "instances.source=ground_truth")
    trainer.run()
    for own, expected in zip(
        trainer.labels.current, ground_truth_labels(dataset.training), strict=True
    ):
        assert torch.equal(own, expected)
    with pytest.raises(ValueError, match="nothing to make online"):
        short_config(
            "instances.source=ground_truth", "schedule.policy=online", "schedule.teacher_every=2"
        )
