"""Each quirk of the release is a setting that changes what it says, and nothing else is changed."""

from __future__ import annotations

import pytest
import torch

from gaufuse.config import ReleaseQuirks, load_config
from gaufuse.data.dataset import load_dataset
from gaufuse.labels.pseudo_labels import make_labels
from gaufuse.localization.detect import detect
from gaufuse.localization.evaluation import detection_score
from gaufuse.model.class_memory import ClassMemory
from gaufuse.model.rskp import SnippetModel
from test_memory import CLASSES, DIM, LABELS, SIZE, outputs
from training_setups import short_config, tiny_dataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(tiny_dataset(tmp_path_factory.mktemp("quirks") / "data"))


@pytest.fixture(scope="module")
def model(dataset) -> SnippetModel:
    torch.manual_seed(0)
    return SnippetModel(12, 3, short_config().model)


def labels_of(model, dataset, *overrides: str) -> list[torch.Tensor]:
    config = short_config("labels.class_threshold=0.0", *overrides)
    return make_labels(model, dataset.training, config, 0, CPU)[0]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def test_memory_of_first_class():
    memory = ClassMemory(CLASSES, SIZE, DIM, CPU, of_first_class=True)
    memory.update(outputs(0), LABELS)
    rows, valid = memory.recall(LABELS, most_labels=2)
    assert valid.all()
    for video in range(len(LABELS)):
        assert torch.equal(rows[video], memory.rows[0])


def test_dropout_in_labels(model, dataset):
    without = labels_of(model, dataset)
    assert same(without, labels_of(model, dataset))
    quirk = "release_quirks.dropout_in_labels=true"
    torch.manual_seed(1)
    noisy = labels_of(model, dataset, quirk)
    assert not same(noisy, without)
    assert not same(noisy, labels_of(model, dataset, quirk))  # another draw
    assert model.training  # as it was


def test_no_map_without_all_classes(model, dataset):
    testing = dataset.testing
    config = short_config("testing.class_threshold=0.0")
    quirk = short_config(
        "testing.class_threshold=0.0", "release_quirks.no_map_without_all_classes=true"
    )
    detections = detect(model, testing, config, CPU)
    score = detection_score(detections, testing, config)
    assert score.average_map > 0.0
    assert detection_score(detections, testing, quirk) == score
    fewer = {
        video: [entry for entry in entries if entry["label"] != "action_0"]
        for video, entries in detections.items()
    }
    assert detection_score(fewer, testing, config).average_map > 0.0
    assert detection_score(fewer, testing, quirk).average_map == 0.0
    assert set(detection_score(fewer, testing, quirk).map) == {0.0}


def test_labels_of_every_class_that_scores(model, dataset):
    known, scored = (
        labels_of(model, dataset, f'labels.classes="{c}"') for c in ("known", "scored")
    )
    absent = dataset.training.labels == 0
    assert not any(x[:, row].any() for x, row in zip(known, absent, strict=True))
    assert any(x[:, row].any() for x, row in zip(scored, absent, strict=True))
    for x, y, row in zip(known, scored, absent, strict=True):
        torch.testing.assert_close(x[:, ~row], y[:, ~row])


def test_released_linear_program_keeps_the_sum_where_ours_keeps_the_mean(model, dataset):
    ours, released = (
        labels_of(model, dataset, f'linpro.formulation="{name}"')
        for name in ("uniform", "released")
    )
    # The confidence of an instance spread over its snippets, or put on one of them.
    assert sum(float(x.sum()) for x in ours) > 2.0 * sum(float(x.sum()) for x in released)


def test_weights_of_the_fusion(model, dataset):
    inner, contrast = (
        labels_of(model, dataset, f'labels.fusion_weights="{name}"', "labels.temperature=[0.02]")
        for name in ("inner", "score")
    )
    assert not same(inner, contrast)


def test_the_release_preset_is_the_corrected_one_and_its_quirks():
    corrected, release = load_config("thumos14"), load_config("thumos14_release")
    assert corrected.release_quirks == ReleaseQuirks()
    assert all(release.release_quirks.model_dump().values())
    assert (release.labels.classes, corrected.labels.classes) == ("scored", "known")
    assert (release.linpro.formulation, corrected.linpro.formulation) == ("released", "uniform")
    assert (release.selection.by, corrected.selection.by) == ("test", "last")
    assert release.labels.fusion_weights == "inner"
    for section in ("data", "model", "loss", "optimizer", "memory", "testing", "evaluation"):
        assert getattr(release, section) == getattr(corrected, section), section
