"""Checkpoints: whole, safe to read, found, and pruned."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from gaufuse.model.checkpoint import (
    Checkpoint,
    checkpoint_of,
    checkpoints_in,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)


class Trap:
    """Pickled, it touches a file when it is loaded."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def checkpoint(epoch: int) -> Checkpoint:
    return Checkpoint(
        config={"seed": 1},
        classes=["jump", "run"],
        feature_dim=4,
        epoch=epoch,
        model={"mu": torch.rand(8, 4), "ac_center": torch.rand(4, 3).T},
        evaluations=[{"epoch": 1, "map": [0.1 + 0.2, 1 / 3], "average_map": 0.3}],
        training={
            "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]},
            "labels": {"current": [torch.rand(5, 2)], "previous": None},
        },
    )


def test_what_is_saved_is_loaded(tmp_path):
    saved = checkpoint(30)
    path = save_checkpoint(tmp_path, saved)
    assert path == tmp_path / "epoch-0030"
    loaded = load_checkpoint(path)
    for name in ("config", "classes", "feature_dim", "epoch", "evaluations"):
        assert getattr(loaded, name) == getattr(saved, name), name
    assert all(torch.equal(loaded.model[name], saved.model[name]) for name in saved.model)
    assert loaded.training["optimizer"]["param_groups"] == [{"lr": 0.1}]
    assert loaded.training["optimizer"]["state"][0]["step"] == 3.0
    assert torch.equal(
        loaded.training["labels"]["current"][0], saved.training["labels"]["current"][0]
    )
    assert load_checkpoint(path, training=False).training == {}
    with safe_open(path / "model.safetensors", "pt") as weights:  # other programs can read it
        assert set(weights.keys()) == {"mu", "ac_center"}


def test_only_whole_checkpoints_are_found_and_the_last_ones_kept(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "absent") is None
    for epoch in (2, 10, 9, 10_000):
        save_checkpoint(tmp_path, checkpoint(epoch))
    (tmp_path / ".epoch-0011.half").mkdir()
    (tmp_path / "epoch-0012").mkdir()  # by hand, not ours
    (tmp_path / "epoch-best").mkdir()
    assert list(checkpoints_in(tmp_path)) == [2, 9, 10, 10_000]
    assert latest_checkpoint(tmp_path).name == "epoch-10000"
    prune_checkpoints(tmp_path, keep=2, also=2)
    assert list(checkpoints_in(tmp_path)) == [2, 10, 10_000]
    prune_checkpoints(tmp_path, keep=1)
    assert list(checkpoints_in(tmp_path)) == [10_000]


def drop_checksums(path: Path) -> None:
    """As an attacker would, or an earlier version that had none."""
    metadata = json.loads((path / "checkpoint.json").read_text())
    del metadata["checksums"]
    (path / "checkpoint.json").write_text(json.dumps(metadata))


def test_checkpoints_run_no_code(tmp_path):
    marker = tmp_path / "sprung"
    path = save_checkpoint(tmp_path, checkpoint(1))
    drop_checksums(path)
    torch.save({"optimizer": Trap(marker)}, path / "training.pt")
    with pytest.raises(ValueError, match=r"training\.pt is not a readable torch file"):
        load_checkpoint(path)
    (path / "training.pt").write_bytes(pickle.dumps(Trap(marker), protocol=2))
    with pytest.raises(ValueError, match="not a readable torch file"):
        load_checkpoint(path)
    (path / "model.safetensors").write_bytes(pickle.dumps(Trap(marker), protocol=2))
    with pytest.raises(ValueError, match="not a readable safetensors"):
        load_checkpoint(path)
    assert not marker.exists()


def test_a_run_stands_for_its_chosen_epoch(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    first, last = (save_checkpoint(folder, checkpoint(epoch)) for epoch in (1, 2))
    assert checkpoint_of(first) == first
    assert checkpoint_of(tmp_path) == checkpoint_of(folder) == last  # not ended yet
    (tmp_path / "metrics.json").write_text('{"chosen_epoch": 1}')
    assert checkpoint_of(tmp_path) == checkpoint_of(folder) == first
    (tmp_path / "metrics.json").write_text("[]")
    assert checkpoint_of(tmp_path) == last
    assert checkpoint_of(tmp_path / "other") == tmp_path / "other"


def test_damage_is_named(tmp_path):
    path = save_checkpoint(tmp_path, checkpoint(1))
    weights = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(weights[:-8])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged.* epoch-0001 a run goes"):
        load_checkpoint(path)
    drop_checksums(path)
    with pytest.raises(ValueError, match=r"model\.safetensors is not a readable"):
        load_checkpoint(path)
    metadata = json.loads((path / "checkpoint.json").read_text())
    for change, message in (
        ({"epoch": "one"}, "epoch must be of type int"),
        ({"format": 99}, "not of a checkpoint of this version"),
    ):
        (path / "checkpoint.json").write_text(json.dumps(metadata | change))
        with pytest.raises(ValueError, match=message):
            load_checkpoint(path)
    (path / "checkpoint.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        load_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "absent")


def test_a_file_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({}, path)
    with pytest.raises(ValueError, match="is a file; a checkpoint is a folder with"):
        load_checkpoint(path)
