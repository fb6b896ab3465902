"""Pseudo labels of snippets, as `gaufuse label` writes them: each run of labels is a segment."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gaufuse.data.exchange.annotated import (
    Annotated,
    ExchangeOptions,
    Row,
    number,
    video_annotation,
)
from gaufuse.utils.safe_load import BROKEN, load_array
from gaufuse_ext.annotations import read_json
from gaufuse_ext.array_types import Array

NAME = "snippet-labels"
ABOUT = "labels.json"  # of a folder
CLASSES = "classes"  # of an archive
MAX_BYTES = 4 << 30  # that an archive may unpack to


def matches(path: Path) -> bool:
    """An .npz, or a folder with labels.json."""
    return (path / ABOUT).is_file() if path.is_dir() else path.suffix.lower() == ".npz"


def read(path: Path, options: ExchangeOptions) -> Annotated:
    """A run of snippets whose label is at least `options.threshold` is a segment; its score is
    their mean.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong there; no snippet_seconds.
    """
    if path.is_dir():
        about = read_json(path / ABOUT)
        if not isinstance(about, Mapping):
            raise ValueError(f"{path / ABOUT} must be an object")
        classes = about.get("classes")
        videos = about.get("videos")
        if not isinstance(videos, Mapping):
            raise ValueError(f'{path / ABOUT} has no "videos"')
        arrays: Iterator[tuple[str, Array]] = (
            (video, load_array(path / f"{_one_component(path, video)}.npy")) for video in videos
        )
        seconds = about.get("snippet_seconds")
    else:
        classes, arrays = _archive(path)
        seconds = None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"{path}: classes must be a list of names")
    found = {}
    for video, labels in arrays:
        where = f"{path}, video {video!r:.80}"
        if labels.ndim != 2 or labels.shape[1] != len(classes) or labels.dtype.kind != "f":
            raise ValueError(
                f"{where} must hold floats of shape (snippets, {len(classes)}), got "
                f"{labels.dtype} {labels.shape}"
            )
        own = seconds.get(video) if isinstance(seconds, Mapping) else seconds
        length = _snippet_seconds(where, own, options)
        rows = list(runs(labels, classes, options.threshold, length))
        found[video] = video_annotation(where, rows, None, len(labels) * length)
    return Annotated(found, scored=True)


def _one_component(path: Path, video: str) -> str:
    if "/" in video or "\\" in video or video.startswith(".") or "\0" in video:
        raise ValueError(f"{path / ABOUT}: video name {video!r:.300} cannot be a file's name")
    return video


def _archive(path: Path) -> tuple[object, Iterator[tuple[str, Array]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"unpacks to more than {MAX_BYTES >> 30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            table = {name: arrays[name] for name in arrays.files}
    except (*BROKEN, zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path} is no archive of snippet labels ({error})") from None
    if CLASSES not in table:
        raise ValueError(f'{path} has no "{CLASSES}"')
    return table.pop(CLASSES).tolist(), iter(table.items())


def _snippet_seconds(where: str, own: object, options: ExchangeOptions) -> float:
    given = options.snippet_seconds if options.snippet_seconds is not None else own
    if given is None:
        raise ValueError(f"{where}: say how long a snippet is with --snippet-seconds")
    seconds = number(where, "snippet_seconds", given)
    if seconds <= 0.0:
        raise ValueError(f"{where}: snippet_seconds must be positive, got {seconds}")
    return seconds


def runs(labels: Array, classes: list[str], threshold: float, seconds: float) -> Iterator[Row]:
    """Segments of labels (T, C) from `threshold` on, by class, then by time."""
    inside = np.zeros((len(labels) + 2, len(classes)), dtype=np.int8)
    inside[1:-1] = labels >= threshold
    changes = np.diff(inside, axis=0)
    for c, name in enumerate(classes):
        starts, ends = (np.flatnonzero(changes[:, c] == sign) for sign in (1, -1))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            score = float(labels[start:end, c].mean(dtype=np.float64))
            yield Row(start * seconds, end * seconds, name, score)
