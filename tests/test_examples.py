"""The examples run as they stand, with small settings."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import gaufuse

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {"own_training_loop", "postprocess_detections"}


def test_own_training_loop(tmp_path):
    settings = ["training_videos=12", "testing_videos=6", "classes=3", "feature_dim=16"]
    scores = load("own_training_loop").train(str(tmp_path / "data"), (2, 1, 1), settings)
    assert list(scores) == ["video labels", "pseudo labels", "delta labels"]
    assert all(0.0 <= score <= 100.0 for score in scores.values())


def test_own_training_loop_says_what_it_needs():
    run = subprocess.run(
        [sys.executable, EXAMPLES / "own_training_loop.py"], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "usage:" in run.stderr


def test_labels_of_the_own_loop_stay_inside_their_classes_and_videos(tmp_path):
    example = load("own_training_loop")
    settings = ["training_videos=10", "testing_videos=3", "classes=3", "feature_dim=16"]
    gaufuse.simulate(tmp_path, settings=gaufuse.profile("small", settings))
    training = gaufuse.load_dataset(tmp_path).training
    batch = training.batch(list(range(10)))
    torch.manual_seed(0)
    labels = example.make_labels(example.SmallModel(16, 3), batch)
    assert labels.shape == (*batch.mask.shape, 3)
    assert labels.max() > 0
    assert ((labels >= 0) & (labels <= 1)).all()
    assert not labels[~batch.mask].any()
    assert not (labels.amax(1) * (1 - batch.labels)).any()


def test_postprocess_detections():
    """Gaussian soft-NMS by hand: a score is lowered by exp(-IoU^2 / 0.5) for each better one."""
    example = load("postprocess_detections")
    found = example.postprocess(example.raw_detections())
    second = 0.8 * math.exp(-((9 / 11) ** 2) / 0.5)  # [11, 21] beside [10, 20]
    third = 0.7 * math.exp(-(0.7**2) / 0.5)  # [12, 19] beside [10, 20] ...
    assert third > second
    second *= math.exp(-(0.7**2) / 0.5)  # ... and then [11, 21] beside [12, 19]
    assert [row["label"] for row in found] == ["dive", "jump", "jump", "dive", "dive"]
    expected = [0.9, 0.6, 0.3, third, second]
    assert [row["score"] for row in found] == pytest.approx(expected, rel=1e-5)
    segments = [[10.0, 20.0], [40.0, 48.0], [60.0, 63.0], [12.0, 19.0], [11.0, 21.0]]
    assert [row["segment"] for row in found] == segments
