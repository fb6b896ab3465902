"""A file that cannot be written is named, with the reason: a full disk is called one.

The disks here are full in truth: /dev/full takes no byte, and a limit on the size of files ends a
write half-way, as a disk that fills up does.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gaufuse.cli.main import main
from gaufuse.model.checkpoint import Checkpoint, save_checkpoint
from gaufuse.training.run_folder import prepare_folder
from gaufuse.training.run_log import RunLog
from gaufuse.utils import files
from gaufuse.utils.files import (
    write_atomically,
    write_folder_atomically,
    write_in_folder,
    write_json,
)
from gaufuse.utils.write_error import WriteError
from training_setups import SHORT, tiny_dataset

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch):
    """Every file that is written beside its final place lies on a full disk."""

    def make(**where) -> tuple[int, str]:
        descriptor, name = mkstemp(**where)
        os.close(descriptor)
        return os.open(FULL, os.O_WRONLY), name

    mkstemp = tempfile.mkstemp
    monkeypatch.setattr(files.tempfile, "mkstemp", make)


def limited(code: str, limit: int, *arguments: object) -> subprocess.CompletedProcess:
    """A process that can write so many bytes to a file."""

    def limit_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write fails with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    # Coverage would write a file of its own there, and say on stderr that it cannot.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        preexec_fn=limit_files,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "write",
    [
        lambda file: file.write(b"x" * 100_000),
        lambda file: np.save(file, np.zeros(100_000)),  # NumPy's own: "N requested, M written"
        lambda file: torch.save({"x": torch.zeros(100_000)}, file),  # torch's: "enforce fail"
    ],
    ids=["bytes", "numpy", "torch"],
)
def test_a_full_disk_is_called_one(tmp_path, full_disk, write):
    path = tmp_path / "labels.npy"
    path.write_text("before")
    with pytest.raises(WriteError, match="the disk is full") as caught:
        write_atomically(path, write)
    assert str(path) in str(caught.value)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["labels.npy"]


def test_another_error_of_the_writer_stays_what_it_is(tmp_path):
    def fail(file):
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError):
        write_atomically(tmp_path / "x", fail)


def test_a_file_of_a_folder_is_named_by_the_place_that_it_was_to_have(tmp_path):
    def write(folder: Path) -> None:
        (folder / "training.pt").symlink_to(FULL)
        write_in_folder(folder / "training.pt", lambda file: file.write(b"x" * 100_000))

    path = tmp_path / "epoch-0001"
    with pytest.raises(WriteError) as caught:
        write_folder_atomically(path, write)
    assert f"cannot write {path}/training.pt: No space left on device" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_on_a_full_disk(tmp_path, full_disk):
    """Weights and state go through our own file: here the metadata is the first to fail."""
    state = Checkpoint({}, ["a"], 2, 1, {"mu": torch.zeros(3)}, [], {"optimizer": {}})
    with pytest.raises(WriteError, match=r"epoch-0001/checkpoint\.json: .*the disk is full"):
        save_checkpoint(tmp_path, state)


def test_a_checkpoint_that_the_disk_has_no_room_for(tmp_path):
    code = """
import sys, torch
from gaufuse.model.checkpoint import Checkpoint, save_checkpoint
weights, training = ({"x": torch.zeros(int(n))} for n in sys.argv[2:])
save_checkpoint(sys.argv[1], Checkpoint({}, ["a"], 2, 7, weights, [], training))
"""
    for sizes, name in (((90_000, 0), "model.safetensors"), ((0, 90_000), "training.pt")):
        done = limited(code, 100_000, tmp_path, *sizes)
        last = done.stderr.splitlines()[-1]
        assert f"cannot write {tmp_path}/epoch-0007/{name}: File too large" in last
        assert not list(tmp_path.iterdir())


def test_training_says_which_file_and_goes_on_from_its_last_checkpoint(tmp_path, capsys):
    data, run = tiny_dataset(tmp_path / "data"), tmp_path / "run"
    words = ["train", str(data), "--output", str(run), "--resume"]
    words += [word for setting in SHORT for word in ("--set", setting)]
    code = "import sys; from gaufuse.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = limited(code, 16_000, *words)  # the state with two refreshes' labels is larger
    assert done.returncode == 2
    assert done.stderr.startswith(f"gaufuse: error: cannot write {run}/checkpoints/epoch-000")
    assert "training.pt: File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert main(words) == 0
    assert "going on after epoch" in capsys.readouterr().out


def test_a_log_on_a_full_disk(tmp_path):
    folder = prepare_folder(tmp_path / "run", False, False)
    log = RunLog(folder, 0, None)
    log._file.close()
    log._file = FULL.open("a")
    with pytest.raises(WriteError, match=r"log\.jsonl: .*the disk is full"):
        log.write(1, "losses", {"foreground": 1.0})
    with pytest.raises(WriteError, match=r"log\.jsonl: .*the disk is full"):
        log.__exit__()  # what could not be written is tried once more


def test_convert_says_which_video_found_no_room(tmp_path):
    code = "import sys; from gaufuse.cli.main import main; sys.exit(main(sys.argv[1:]))"
    data = tiny_dataset(tmp_path / "data")
    done = limited(code, 800, "convert", data, tmp_path / "out")
    assert done.returncode == 2
    path = tmp_path / "out" / "features" / "training_0000.npy"
    assert done.stderr.startswith(f"gaufuse: error: cannot write {path}: File too large")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["info"], ["info", "--json"]])
def test_standard_output_on_a_full_disk(command):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gaufuse", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("gaufuse: error: cannot write ")
    assert "standard output: No space left on device; the disk is full" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    table = tmp_path / "p.json"
    write_json(table, {"results": {"v": [{"segment": [0, 1], "label": "a", "score": 1}]}})
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "gaufuse", "evaluate", str(table), str(table), "--json", "-"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert "Broken pipe" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(WriteError, match="the name is too long"):
        write_json(tmp_path / ("x" * 300), {})
    longest = tmp_path / ("é" * 125 + ".json")  # 255 bytes
    write_json(longest, {"a": 1})
    assert json.loads(longest.read_text()) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_not_there(tmp_path):
    path = tmp_path / "absent" / "x.json"
    with pytest.raises(WriteError, match=f"cannot write {path}: No such file or directory"):
        write_json(path, {})


def test_all_files_of_a_folder_are_brought_to_the_disk(tmp_path, monkeypatch):
    synced = set()

    def sync(descriptor: int) -> None:
        synced.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    def write(folder: Path) -> None:
        (folder / "features" / "deep").mkdir(parents=True)
        for name in ("dataset.toml", "features/a.npy", "features/deep/b.npy"):
            (folder / name).write_text("x")

    monkeypatch.setattr(files.os, "fsync", sync)
    write_folder_atomically(tmp_path / "data", write)
    assert synced >= {"dataset.toml", "features", "a.npy", "deep", "b.npy", tmp_path.name}
