"""Files from outside are not trusted, files of ours are whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from gaufuse.data.wtalc_annotations import load_wtalc_annotations
from gaufuse.utils.files import (
    ensure_writable_folder,
    remove_leftovers,
    write_atomically,
    write_folder_atomically,
    write_json,
)
from gaufuse.utils.safe_load import load_array


class Trap:
    """Unpickling this would run code."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_object_arrays_load_and_traps_do_not(tmp_path):
    path, marker = tmp_path / "labels.npy", tmp_path / "sprung"
    array = np.empty(2, dtype=object)
    array[:] = [["a", b"b"], [1.5, 2]]
    np.save(path, array, allow_pickle=True)
    assert load_array(path).tolist() == array.tolist()
    array[1] = Trap(marker)
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match="refused to load"):
        load_array(path)
    assert not marker.exists()


def test_truncated_array(tmp_path):
    path = tmp_path / "features.npy"
    np.save(path, np.zeros((10, 4)))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"not a readable \.npy"):
        load_array(path)


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "epoch-0001"
    write_folder_atomically(path, lambda folder: (folder / "a").write_text("first"))

    def fail(folder):
        (folder / "b").write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_folder_atomically(path, fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["epoch-0001"]
    assert (path / "a").read_text() == "first"
    write_folder_atomically(path, lambda folder: (folder / "c").write_text("second"))
    assert [entry.name for entry in path.iterdir()] == ["c"]
    (tmp_path / ".epoch-0002.x").mkdir()
    (tmp_path / ".epoch-0002.x" / "half").write_text("")
    remove_leftovers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["epoch-0001"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"map": [1.0]})
    before = path.read_bytes()

    def fail(file):
        file.write(b"half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"map": [float("nan")]})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """As /dev/null and /dev/stdout: a file moved there would take the device's place."""
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_json(pipe, {"map": [1.0]})
    reader.join(10)
    assert json.loads(read[0]) == {"map": [1.0]}
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_link_stays_one(tmp_path):
    target = tmp_path / "elsewhere" / "real.json"
    target.parent.mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(target)
    for value in (1, 2):  # first it leads nowhere
        write_json(link, value)
        assert link.is_symlink()
        assert json.loads(target.read_text()) == value
    assert len(list(target.parent.iterdir())) == 1


def test_unwritable_folder(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(ValueError, match="cannot write to the output folder"):
        ensure_writable_folder(blocker / "run")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "videos", "segments"),
    [
        ("thumos14/Thumos14reduced-Annotations", 412, 6365),
        ("activitynet13/ActivityNet1.3-Annotations", 13912, 21434),
    ],
)
def test_wtalc_folders(data_root, folder, videos, segments):
    found = load_wtalc_annotations(data_root / folder)
    assert len(found) == videos
    assert sum(len(video.labels) for video in found.values()) == segments


@pytest.mark.real_data
def test_wtalc_folder_with_a_file_missing(data_root, tmp_path):
    copy = tmp_path / "annotations"
    shutil.copytree(data_root / "thumos14/Thumos14reduced-Annotations", copy)
    (copy / "labels.npy").chmod(0o644)
    copy.chmod(0o755)
    (copy / "labels.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels\.npy"):
        load_wtalc_annotations(copy)
