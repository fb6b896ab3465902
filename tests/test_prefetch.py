"""Batches made ahead: the same, in order, with errors where they belong."""

from __future__ import annotations

import ast
import threading

import numpy as np
import pytest
import torch

from gaufuse.data import dataset as dataset_module
from gaufuse.data.dataset import load_dataset
from gaufuse.data.prefetch import prefetch
from training_setups import tiny_dataset


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_is_kept(workers):
    delays = [threading.Event() for _ in range(2)]

    def work(i: int) -> int:
        if i == 0 and workers > 1:
            delays[0].wait(5)  # the first result comes last
        if i == 1:
            delays[0].set()
        return i * i

    assert list(prefetch(work, range(20), workers)) == [i * i for i in range(20)]


@pytest.mark.parametrize("workers", [0, 2])
def test_not_far_ahead(workers):
    started = []
    results = prefetch(lambda i: started.append(i), range(100), workers)
    for used in range(1, 11):
        next(results)
        assert len(started) <= used + workers
    results.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_come_in_their_place(workers):
    def work(i: int) -> int:
        if i == 3:
            raise ValueError("item 3")
        return i

    results = prefetch(work, range(10), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(results)


@pytest.mark.parametrize("in_memory", [False, True])
def test_batches_are_the_same_with_workers(tmp_path, in_memory):
    subset = load_dataset(tiny_dataset(tmp_path / "data"), in_memory).training
    order = [4, 2, 8, 0, 1, 7, 3]
    plain = list(subset.batches(3, order))
    subset.prepare(2, torch.device("cpu"))
    ahead = list(subset.select(list(range(9))).batches(3, order))
    assert [batch.videos for batch in ahead] == [[4, 2, 8], [0, 1, 7], [3]]
    for first, second in zip(plain, ahead, strict=True):
        assert torch.equal(first.features, second.features)
        assert torch.equal(first.mask, second.mask)
        assert torch.equal(first.labels, second.labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_large_data_is_checked_when_first_used(tmp_path, monkeypatch, workers):
    root = tiny_dataset(tmp_path / "data")
    path = root / "features" / "training_0004.npy"
    array = np.load(path)
    array[3, 2] = np.nan
    np.save(path, array)
    with pytest.raises(ValueError, match="first in snippet 3"):
        load_dataset(root)
    monkeypatch.setattr(dataset_module, "EAGER_BYTES", 0)
    training = load_dataset(root).training
    training.prepare(workers, torch.device("cpu"))
    batches = training.batches(2)
    assert next(batches).videos == [0, 1]
    assert next(batches).videos == [2, 3]
    with pytest.raises(ValueError, match=r"training_0004\.npy has 1 NaN .* first in snippet 3"):
        next(batches)


def test_a_file_that_changes_under_a_run_is_noticed(tmp_path):
    root = tiny_dataset(tmp_path / "data")
    training = load_dataset(root).training
    np.save(root / "features" / f"{training.names[0]}.npy", np.zeros((3, 12), np.float32))
    with pytest.raises(ValueError, match="was changed while it was in use"):
        training.batch([0])


def test_threads_parse_no_headers(tmp_path, monkeypatch):
    """Python's parser, which reads them, fails now and then in several threads at once."""
    training = load_dataset(tiny_dataset(tmp_path / "data")).training
    monkeypatch.setattr(ast, "parse", lambda *_, **__: pytest.fail("a header was parsed"))
    training.prepare(2, torch.device("cpu"))
    assert sum(len(batch.videos) for batch in training.batches(2)) == len(training)


def test_features_kept_in_memory_need_no_file(tmp_path):
    root = tiny_dataset(tmp_path / "data")
    training = load_dataset(root, in_memory=True).training
    wanted = training.batch([0, 1])
    for path in (root / "features").iterdir():
        path.unlink()
    assert torch.equal(training.batch([0, 1]).features, wanted.features)
    assert torch.equal(training.select([1, 0]).batch([1, 0]).features, wanted.features)


def test_writing_to_features_does_not_reach_the_file(tmp_path):
    root = tiny_dataset(tmp_path / "data")
    training = load_dataset(root).training
    path = root / "features" / f"{training.names[0]}.npy"
    before = path.read_bytes()
    training.features[0].fill_(7.0)
    assert path.read_bytes() == before


@pytest.mark.gpu
def test_pinned_for_a_gpu(tmp_path):
    training = load_dataset(tiny_dataset(tmp_path / "data")).training
    training.prepare(2, torch.device("cuda"))
    batch = next(training.batches(2))
    assert batch.features.is_pinned()
    assert batch.to(torch.device("cuda")).features.is_cuda
