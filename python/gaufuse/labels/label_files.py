"""Activation sequences to read and snippet labels to write, a video's each."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gaufuse.utils.files import ensure_writable_folder, write_atomically, write_json
from gaufuse.utils.safe_load import load_array
from gaufuse.utils.visible import visible
from gaufuse.utils.write_error import naming
from gaufuse_ext.array_types import Array

CLASSES = "classes"  # of an archive
INDEX = "labels.json"  # of a folder


def activation_files(folder: Path) -> dict[str, Path]:
    """The <video>.npy of a folder by video.

    Raises:
        FileNotFoundError: the folder holds no <video>.npy.
    """
    paths = visible(folder, "*.npy")
    if not paths:
        raise FileNotFoundError(f"{folder} holds no <video>.npy")
    return {path.stem: path for path in paths}


def read_activations(path: Path, classes: list[str]) -> Array:
    """A video's class activation sequence (T, C), of whatever float type it was stored in.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    cas = load_array(path)
    if cas.ndim != 2 or cas.shape[1] != len(classes) or cas.dtype.kind != "f":
        raise ValueError(
            f"{path} must hold floats of shape (snippets, {len(classes)}), got {cas.dtype} "
            f"{cas.shape}"
        )
    if len(cas) == 0:
        raise ValueError(f"{path} has no snippet")
    if not np.isfinite(cas).all():
        raise ValueError(f"{path}: cas must be finite")
    return cas


def check_output(output: Path, videos: list[str]) -> None:
    """Before labels are made: whether `write_labels` has a place for every video's.

    Raises:
        ValueError: a video's name is that of the archive's list of classes.
    """
    if output.suffix == ".npz" and CLASSES in videos:
        raise ValueError(
            f"{output}: a video is named {CLASSES!r}, and so is the archive's list of classes: "
            "write a folder instead"
        )


def write_labels(
    output: Path, labels: dict[str, Array], classes: list[str], settings: Mapping[str, object]
) -> None:
    """An .npz of an array (T, C) for each video and "classes", or a folder of <video>.npy with
    labels.json, which has the settings, too. It comes last: a folder without it is not whole.

    Raises:
        ValueError, WriteError: it cannot be written.
    """
    check_output(output, list(labels))
    if output.suffix == ".npz":
        ensure_writable_folder(output.parent)
        write_atomically(output, lambda file: _write_archive(file, labels, classes))
        return
    ensure_writable_folder(output)
    with naming(output / INDEX):
        (output / INDEX).unlink(missing_ok=True)  # it says that what is there belongs together
    for video, values in labels.items():
        _write_array(output / f"{video}.npy", values)
    videos = {video: len(values) for video, values in labels.items()}
    write_json(output / INDEX, {"classes": classes, **settings, "videos": videos})


def _write_array(path: Path, values: Array) -> None:
    write_atomically(path, lambda file: np.save(file, values))


def _write_archive(file: BinaryIO, labels: dict[str, Array], classes: list[str]) -> None:
    """What numpy.savez_compressed writes, which has no room for a video named "file"."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in ((CLASSES, np.array(classes)), *labels.items()):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
