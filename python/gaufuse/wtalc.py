"""W-TALC annotation folders (`Thumos14reduced-Annotations`, `ActivityNet1.3-Annotations`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaufuse.safe_load import load_array
from gaufuse_ext.annotations import VideoAnnotation


def is_wtalc_folder(path: str | Path) -> bool:
    return (Path(path) / "videoname.npy").is_file()


def load_wtalc_classes(folder: str | Path) -> list[str] | None:
    """The classes in the order of their indices, or None where the folder has no classlist.npy."""
    path = Path(folder) / "classlist.npy"
    return [_text(name) for name in load_array(path)] if path.is_file() else None


def load_wtalc_annotations(folder: str | Path) -> dict[str, VideoAnnotation]:
    """Annotations by video, in seconds.

    Raises:
        FileNotFoundError, ValueError: a file is missing, or the files do not fit together.
    """
    folder = Path(folder)
    names, subsets, segments, labels, durations = (
        load_array(folder / f"{name}.npy")
        for name in ("videoname", "subset", "segments", "labels", "duration")
    )
    lengths = {len(names), len(subsets), len(segments), len(labels), len(durations)}
    if len(lengths) != 1:
        raise ValueError(f"{folder}: the annotation files describe different numbers of videos")
    videos = {}
    for name, subset, pairs, own, duration in zip(
        names, subsets, segments, labels, durations, strict=True
    ):
        if len(pairs) != len(own):
            raise ValueError(f"{folder}: video {_text(name)!r} has segments without labels")
        if _text(name) in videos:
            raise ValueError(f"{folder}: video {_text(name)!r} occurs twice in videoname.npy")
        videos[_text(name)] = VideoAnnotation(
            np.array(pairs, dtype=np.float64).reshape(-1, 2),
            [_text(label) for label in own],
            np.ones(len(own)),
            _text(subset),
            float(np.ravel(duration)[0]),
        )
    return videos


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
