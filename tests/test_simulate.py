"""The simulated data set: the same seed gives the same files, and what is promised is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaufuse.dataset import load_dataset
from gaufuse.simulate import simulate
from training_setups import TINY


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_deterministic_by_seed(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, seed, TINY)
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    other = contents(tmp_path / "c")
    assert first.keys() == other.keys()
    assert first["annotations.json"] != other["annotations.json"]


def test_annotations_lie_inside_their_videos_and_do_not_overlap(tmp_path):
    simulate(tmp_path, 0, TINY)
    dataset = load_dataset(tmp_path)
    for subset in (dataset.training, dataset.testing):
        for name, features in zip(subset.names, subset.features, strict=True):
            video = subset.annotations[name]
            assert len(video.labels) >= 1
            duration = len(features) * TINY.snippet_seconds
            assert video.duration == pytest.approx(duration, abs=1e-3)
            assert (video.segments[1:, 0] >= video.segments[:-1, 1]).all()
            assert video.segments[0, 0] >= 0
            assert video.segments[-1, 1] <= video.duration
