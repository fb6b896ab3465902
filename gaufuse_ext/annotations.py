"""ActivityNet-style JSON: predictions and ground truth, plain or gzip, never trusted.

    predictions   {"results": {video: [{"segment": [start, end], "label": ..., "score": ...}]}}
    ground truth  {"database": {video: {"subset": ..., "duration": seconds,
                                        "annotations": [{"segment": ..., "label": ...}]}}}
                  or, as Charades and MultiTHUMOS are, "actions": [[class, start, end], ...]

The outer key may be left out. Seconds, which may be numbers or strings (both are about). Parsed
into flat arrays, video by video.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

OTHER_KEY = {"results": "database", "database": "results"}
MAX_JSON_BYTES = 4 << 30  # an archive that unpacks to more is not a detection file
MAX_PACKED_RATIO = 200  # nor is one that unpacks to so many times its size, and is larger than:
MIN_UNPACKED_BYTES = 32 << 20


PROPOSAL = "proposal"  # the class of what needs none


@dataclass(frozen=True)
class Segments:
    """Annotated or predicted segments of one video."""

    segments: np.ndarray  # (N, 2) float64 seconds
    labels: list[str]  # (N,)
    scores: np.ndarray  # (N,) float64; ones for annotations


@dataclass(frozen=True)
class VideoAnnotation(Segments):
    """Ground truth of one video; None where the source does not say."""

    subset: str | None = None
    duration: float | None = None  # seconds


Source = str | Path | Mapping[str, Any]
AnySegments = TypeVar("AnySegments", bound=Segments)


def load_predictions(source: Source, labelled: bool = True) -> dict[str, Segments]:
    """Predictions by video, in the order of the file.

    Args:
        labelled: False: of proposals, which need no label; all are of one class.

    Raises:
        FileNotFoundError, ValueError: with the file, the video and what is wrong there.
    """
    return parse_predictions(*_open(source, "predictions", "results"), labelled)


def predictions_of(path: str | Path, data: bytes, labelled: bool = True) -> dict[str, Segments]:
    """`load_predictions` of a file whose bytes were read already."""
    table = _table(str(path), parse_json_of(path, data), "results")
    return parse_predictions(str(path), table, labelled)


def parse_predictions(
    name: str, table: Mapping[str, Any], labelled: bool = True
) -> dict[str, Segments]:
    """Entries by video, however they were read; `name` says where they are from.

    Raises:
        ValueError: with the name, the video and what is wrong there.
    """
    return {
        video: _parse(name, video, entries, scored=True, labelled=labelled)
        for video, entries in table.items()
    }


def load_ground_truth(source: Source, subset: str | None = None) -> dict[str, VideoAnnotation]:
    """Annotations by video; of one subset (upper and lower case alike) where `subset` is given.

    Raises:
        FileNotFoundError, ValueError: with the file, the video and what is wrong there; an unknown
            subset, with those that there are.
    """
    name, table = _open(source, "ground truth", "database")
    videos = parse_ground_truth(table, name)
    return videos if subset is None else choose_subset(videos, subset, name)


def parse_ground_truth(table: Mapping[str, Any], name: str) -> dict[str, VideoAnnotation]:
    """Entries by video, however they were read, so that all are checked alike; `name` says where
    they are from.

    Raises:
        ValueError: with the name, the video and what is wrong there.
    """
    videos = {video: _parse_video(name, video, entry) for video, entry in table.items()}
    _check_some_have_annotations(name, table)
    return videos


def choose_subset(
    videos: Mapping[str, VideoAnnotation], subset: str, name: str = "ground truth"
) -> dict[str, VideoAnnotation]:
    """The videos of one subset, upper and lower case alike.

    Raises:
        TypeError, ValueError: there is none; with those that there are. `name` says where.
    """
    if not isinstance(subset, str):
        raise TypeError(f"subset must be a name, got {subset!r}")
    chosen = {v: a for v, a in videos.items() if (a.subset or "").lower() == subset.lower()}
    if not chosen:
        known = sorted({str(a.subset) for a in videos.values()})
        raise ValueError(f"{name} has no video of subset {subset!r}; it has {', '.join(known)}")
    return chosen


def parse_json(text: str | bytes) -> object:
    """JSON, in which no object has a key twice: of two entries the first would be lost.

    Raises:
        ValueError: what is wrong.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key, _ in pairs if times[key] > 1)
        raise ValueError(f"key {twice!r:.200} occurs {times[twice]} times in one object")
    return table


def read_json(path: str | Path) -> object:
    """Parsed JSON of a file, gunzipped where the content is gzip, whatever the name.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong there; a key that an object
            has twice is wrong.
    """
    return parse_json_of(path, read_packed(path))


def parse_json_of(path: str | Path, data: bytes) -> object:
    """`read_json` of what was read already."""
    try:
        return parse_json(data)
    except ValueError as error:  # also bad Unicode, and integers without end
        raise ValueError(f"{path} is not readable JSON ({error})") from None
    except MemoryError:
        raise ValueError(f"{path} is not readable JSON (there is no memory for it)") from None


def read_packed(path: str | Path) -> bytes:
    """A JSON file's bytes, gunzipped where they are gzip.

    Raises:
        FileNotFoundError, ValueError: it is not there, is broken, or unpacks to more than JSON
            would.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            most = MAX_JSON_BYTES
            if packed:  # JSON packs to a tenth, perhaps to a thirtieth
                most = min(most, max(MIN_UNPACKED_BYTES, MAX_PACKED_RATIO * path.stat().st_size))
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            # (A plain file's read(n) would make room for n bytes at once.)
            data = file.read(most + 1) if packed else file.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder, not a JSON file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not readable JSON ({error})") from None
    except MemoryError:
        raise ValueError(f"{path} is not readable JSON (there is no memory for it)") from None
    if len(data) > most:
        size = f"{most >> 30} GiB" if most >= 1 << 30 else f"{most >> 20} MiB"
        raise ValueError(f"{path} holds more than {size} of JSON")
    return data


def _open(source: Source, what: str, key: str) -> tuple[str, Mapping[str, Any]]:
    if isinstance(source, Mapping):
        return what, _table(what, source, key)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"{what} must be a path or parsed JSON, got {source!r} ({type(source).__name__})"
        )
    return str(source), _table(str(source), read_json(source), key)


def _table(name: str, data: object, key: str) -> Mapping[str, Any]:
    if isinstance(data, Mapping):
        table = data.get(key, data)
        if table is data and isinstance(data.get(OTHER_KEY[key]), Mapping):
            raise ValueError(
                f'{name} has "{OTHER_KEY[key]}", not "{key}": were predictions and ground truth '
                "taken for each other?"
            )
        if isinstance(table, Mapping):
            return table
    raise ValueError(f'{name} must be an object with "{key}", a table of videos')


def _parse_video(name: str, video: str, entry: object) -> VideoAnnotation:
    if isinstance(entry, VideoAnnotation):
        return _checked(name, video, entry)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("annotations", []), list):
        raise ValueError(f'{name}: video {video!r} must be an object with a list "annotations"')
    parsed = _parse(name, video, _annotations_of(name, video, entry), scored=False)
    duration = entry.get("duration", entry.get("duration_second"))
    if duration is not None:
        duration = _number(name, video, "duration", duration)
    subset = entry.get("subset")
    return VideoAnnotation(
        parsed.segments,
        parsed.labels,
        parsed.scores,
        None if subset is None else str(subset),
        duration,
    )


def _check_some_have_annotations(name: str, table: Mapping[str, Any]) -> None:
    known = ("annotations", "actions")
    entries = [entry for entry in table.values() if isinstance(entry, Mapping)]
    if entries and not any(key in entry for entry in entries for key in known):
        raise ValueError(
            f'{name}: no video has "annotations"; the first, {next(iter(table))!r}, has '
            f"{', '.join(map(str, entries[0])) or 'nothing'}"
        )


def _annotations_of(name: str, video: str, entry: Mapping[str, Any]) -> list[Any]:
    """An entry without any is an unlabelled video's; one with lists under other names is of a
    layout that we do not know, and its video not free of actions."""
    if "annotations" in entry:
        annotations: list[Any] = entry["annotations"]
        return annotations
    if "actions" in entry:
        return actions_as_annotations(name, video, entry["actions"])
    if any(isinstance(value, (list, Mapping)) for value in entry.values()):
        raise ValueError(
            f'{name}: video {video!r} has no "annotations"; it has {", ".join(map(str, entry))} '
            '(an unlabelled video has "annotations": [])'
        )
    return []


def actions_as_annotations(name: str, video: str, actions: object) -> list[dict[str, Any]]:
    """Charades' [[class, start, end], ...] as a list of {"segment", "label"}.

    Raises:
        ValueError: it is no such list.
    """
    if not isinstance(actions, list) or not all(
        isinstance(action, (list, tuple))
        and len(action) == 3
        and isinstance(action[0], (str, int))
        and not isinstance(action[0], bool)
        for action in actions
    ):
        raise ValueError(
            f'{name}: video {video!r}: "actions" must be a list of [class, start, end], the class '
            "a name or a number"
        )
    return [{"segment": [start, end], "label": str(label)} for label, start, end in actions]


def _parse(name: str, video: str, entries: object, scored: bool, labelled: bool = True) -> Segments:
    if isinstance(entries, Segments):
        return _checked(name, video, entries)
    if not isinstance(entries, list):
        raise ValueError(f"{name}: video {video!r} must hold a list of segments")
    segments = np.empty((len(entries), 2))
    scores = np.ones(len(entries))
    labels = []
    for i, entry in enumerate(entries):
        needed = ("segment", "label") if labelled else ("segment",)
        if not isinstance(entry, Mapping) or not all(key in entry for key in needed):
            needs = " and ".join(f'"{key}"' for key in needed)
            raise ValueError(f"{name}: video {video!r}, entry {i} needs {needs}")
        segment = entry["segment"]
        if not isinstance(segment, (list, tuple)) or len(segment) != 2:
            raise ValueError(f"{name}: video {video!r}, entry {i}: segment must be [start, end]")
        start, end = (_number(name, video, f"entry {i}: segment", x) for x in segment)
        if end < start:
            raise ValueError(
                f"{name}: video {video!r}, entry {i}: segment ends before it starts: "
                f"[{start}, {end}]"
            )
        segments[i] = start, end
        where = f"{name}: video {video!r}, entry {i}"
        labels.append(label_text(where, entry["label"]) if labelled else PROPOSAL)
        if scored:
            if "score" not in entry:
                raise ValueError(f'{name}: video {video!r}, entry {i} has no "score"')
            scores[i] = _number(name, video, f"entry {i}: score", entry["score"])
    return Segments(segments, labels, scores)


def _checked(name: str, video: str, entry: AnySegments) -> AnySegments:
    """What was parsed already, or made by a caller."""
    count = len(entry.labels)
    if np.shape(entry.segments) != (count, 2) or np.shape(entry.scores) != (count,):
        raise ValueError(
            f"{name}: video {video!r} has {count} labels, so segments must have shape ({count}, 2) "
            f"and scores ({count},), got {np.shape(entry.segments)} and {np.shape(entry.scores)}"
        )
    finite = np.isfinite(entry.segments).all(axis=1) & np.isfinite(entry.scores)
    right = finite & (entry.segments[:, 1] >= entry.segments[:, 0])
    if not right.all():
        i = int(np.argmin(right))
        raise ValueError(
            f"{name}: video {video!r}, entry {i}: segment and score must be finite numbers, and "
            f"the segment must not end before it starts: {entry.segments[i].tolist()}, "
            f"{entry.scores[i]}"
        )
    return entry


def label_text(where: str, value: object) -> str:
    """A class's name, or its id as text: whole numbers are ids.

    Raises:
        ValueError: neither; `where` says in which file and entry.
    """
    if isinstance(value, str) and value.strip():
        return value
    number = value if isinstance(value, (int, float, np.integer, np.floating)) else None
    if number is not None and not isinstance(value, bool) and float(number).is_integer():
        return str(int(number))
    raise ValueError(f"{where}: label must be a class's name or id, got {value!r}")


def _number(name: str, video: str, what: str, value: Any) -> float:
    try:
        # Python takes true for 1 and "1_0" for 10.
        strange = isinstance(value, bool) or (isinstance(value, str) and "_" in value)
        number = np.nan if strange else float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"{name}: video {video!r}, {what} must be a finite number, got {value!r}")
    return number
