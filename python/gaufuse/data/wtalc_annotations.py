"""W-TALC annotation folders (`Thumos14reduced-Annotations`, `ActivityNet1.3-Annotations`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gaufuse.utils.safe_load import load_array
from gaufuse_ext.annotations import VideoAnnotation, parse_ground_truth


def is_wtalc_folder(path: str | Path) -> bool:
    """Whether a folder has the names of videos that the other arrays go with."""
    return (Path(path) / "videoname.npy").is_file()


def load_wtalc_classes(folder: str | Path) -> list[str] | None:
    """The classes in the order of their indices, or None where the folder has no classlist.npy."""
    path = Path(folder) / "classlist.npy"
    return [_text(name, path) for name in load_array(path)] if path.is_file() else None


def load_wtalc_annotations(folder: str | Path) -> dict[str, VideoAnnotation]:
    """Annotations by video, in seconds, checked like those of JSON.

    Raises:
        FileNotFoundError, ValueError: as `wtalc_entries`; or a value is none (segments that end
            before they start, durations that are no numbers, ...).
    """
    return parse_ground_truth(wtalc_entries(folder), str(folder))


def wtalc_entries(folder: str | Path) -> dict[str, dict[str, Any]]:
    """What a "database" in JSON would hold.

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
    videos: dict[str, dict[str, Any]] = {}
    texts = [_text(name, folder) for name in names]
    for name, subset, pairs, own, duration in zip(
        texts, subsets, segments, labels, durations, strict=True
    ):
        if name in videos:
            raise ValueError(f"{folder}: video {name!r} occurs twice in videoname.npy")
        pairs, own = (_as_list(folder, name, values) for values in (pairs, own))
        if len(pairs) != len(own):
            raise ValueError(
                f"{folder}: video {name!r} has {len(pairs)} segments and {len(own)} labels"
            )
        videos[name] = {
            "subset": _text(subset, folder),
            "duration": _only(duration),
            "annotations": [
                {"segment": _plain(pair), "label": _plain(label)}
                for pair, label in zip(pairs, own, strict=True)
            ],
        }
    return videos


def _as_list(folder: Path, name: str, values: object) -> list[Any]:
    if not isinstance(values, list | tuple | np.ndarray) or getattr(values, "ndim", 1) == 0:
        raise ValueError(f"{folder}: video {name!r} has {values!r} for a list")
    return list(values)


def _only(value: object) -> object:
    """The number in an array of one; anything else is not a number, which is found out later."""
    values = np.ravel(np.asarray(value, dtype=object))
    return values[0] if len(values) == 1 else value


def _plain(value: object) -> object:
    """What JSON would hold."""
    if isinstance(value, np.ndarray):
        return [_plain(x) for x in value.tolist()] if value.ndim else _plain(value.item())
    return value.decode() if isinstance(value, bytes) else value


def _text(value: object, source: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{source}: the name {value!r:.80} is not UTF-8 text") from None
