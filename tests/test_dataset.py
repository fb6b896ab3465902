"""Data set folders are checked before a run; the error names the file and what is wrong there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gaufuse.data.dataset import load_dataset
from training_setups import TINY, tiny_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_dataset(tmp_path / "data")


def features(folder: Path, video: str) -> Path:
    return folder / "features" / f"{video}.npy"


def edit_annotations(folder: Path, change) -> None:
    path = folder / "annotations.json"
    table = json.loads(path.read_text())
    change(table["database"])
    path.write_text(json.dumps(table))


def test_loads_and_batches(folder):
    dataset = load_dataset(folder)
    assert (len(dataset.training), len(dataset.testing)) == (9, 6)
    batch = dataset.training.batch([2, 0, 5])
    assert batch.features.shape == (3, int(batch.lengths.max()), TINY.feature_dim)
    assert batch.mask.sum(1).tolist() == batch.lengths.tolist()
    assert batch.labels.shape == (3, TINY.classes)
    assert batch.labels.any(1).all()
    assert batch.most_labels == int(batch.labels.sum(1).max())
    mean, scale = dataset.training.standardizer()
    every = torch.cat([x.float() for x in dataset.training.features])
    torch.testing.assert_close(mean, every.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scale, every.std(0, unbiased=False), rtol=1e-4, atol=1e-6)


def test_gzip_annotations(folder):
    import gzip

    path = folder / "annotations.json"
    (folder / "annotations.json.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert len(load_dataset(folder).training) == 9


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, TINY.feature_dim), np.float32), "has no snippet"),
        (np.zeros((5, 7), np.float32), r"must have shape \(snippets, 12\), got \(5, 7\)"),
        (np.zeros(5, np.float32), "must have shape"),
        (np.full((5, TINY.feature_dim), np.nan, np.float16), "NaN or infinite"),
        (np.zeros((5, TINY.feature_dim), np.int64), "must hold floats"),
    ],
)
def test_bad_features(folder, array, message):
    path = features(folder, "testing_0002")
    np.save(path, array)
    with pytest.raises(ValueError, match=message) as error:
        load_dataset(folder)
    assert str(path) in str(error.value)


def test_missing_and_unreadable_features(folder):
    path = features(folder, "training_0001")
    path.write_bytes(b"not an array")
    with pytest.raises(ValueError, match=r"not a readable \.npy"):
        load_dataset(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"training_0001\.npy does not exist"):
        load_dataset(folder)


def test_unknown_class_is_named(folder):
    edit_annotations(
        folder, lambda videos: videos["testing_0000"]["annotations"][0].update(label="juggling")
    )
    with pytest.raises(ValueError, match=r"'testing_0000' has class 'juggling'"):
        load_dataset(folder)


def test_training_video_without_label(folder):
    edit_annotations(folder, lambda videos: videos["training_0003"].update(annotations=[]))
    with pytest.raises(ValueError, match=r"'training_0003' has no annotation.*background_videos"):
        load_dataset(folder)
    info = folder / "dataset.toml"
    text = info.read_text()
    info.write_text("background_videos = true\n" + text)
    training = load_dataset(folder).training
    assert training.labels[3].tolist() == [0.0, 0.0, 0.0]
    assert training.batch([3]).most_labels == 1
    info.write_text("background_videos = 1\n" + text)
    with pytest.raises(ValueError, match="background_videos must be true or false"):
        load_dataset(folder)


def test_a_data_set_without_any_label_is_refused(folder):
    info = folder / "dataset.toml"
    info.write_text("background_videos = true\n" + info.read_text())
    edit_annotations(folder, lambda videos: [own.update(annotations=[]) for own in videos.values()])
    with pytest.raises(ValueError, match="no training video has annotations"):
        load_dataset(folder)


def test_segment_that_ends_before_it_starts(folder):
    edit_annotations(
        folder, lambda videos: videos["testing_0000"]["annotations"][0].update(segment=[5, 4])
    )
    with pytest.raises(ValueError, match="ends before it starts"):
        load_dataset(folder)


def test_missing_pieces(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="not a data set folder"):
        load_dataset(tmp_path / "absent")
    info = folder / "dataset.toml"
    text = info.read_text()
    info.write_text(text.replace("feature_dim = 12", "feature_dim = 'many'", 1))
    with pytest.raises(ValueError, match="feature_dim must be of type int"):
        load_dataset(folder)
    info.write_text(text.replace('training_subset = "training"', 'training_subset = "train"'))
    with pytest.raises(ValueError, match=r"no video of subset 'train'.*testing, training"):
        load_dataset(folder)
    info.write_text(text)
    (folder / "annotations.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"annotations\.json does not exist"):
        load_dataset(folder)
