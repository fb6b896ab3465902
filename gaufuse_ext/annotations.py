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
from typing import TypeVar

import numpy as np

OTHER_KEY = {"results": "database", "database": "results"}
# What an archive may unpack to: so much in any case, so many times its own size, never more.
UNPACKED_ANYWAY, MOST_TIMES, MAX_JSON_BYTES = 1 << 24, 200, 4 << 30


@dataclass(frozen=True)
class Segments:
    """Annotated or predicted segments of one video."""

    segments: np.ndarray  # (N, 2) float64 seconds
    labels: list[str]  # (N,)
    scores: np.ndarray  # (N,) float64; ones for annotations


@dataclass(frozen=True)
class VideoAnnotation(Segments):
    subset: str | None = None
    duration: float | None = None  # seconds


Source = str | Path | Mapping
AnySegments = TypeVar("AnySegments", bound=Segments)


def load_predictions(source: Source) -> dict[str, Segments]:
    """Predictions by video, in the order of the file.

    Raises:
        FileNotFoundError, ValueError: with the file, the video and what is wrong there.
    """
    name, table = _open(source, "predictions", "results")
    return {video: _parse(name, video, entries, scored=True) for video, entries in table.items()}


def load_ground_truth(source: Source, subset: str | None = None) -> dict[str, VideoAnnotation]:
    """Annotations by video; of one subset (upper and lower case alike) where `subset` is given.

    Raises:
        FileNotFoundError, ValueError: with the file, the video and what is wrong there; an unknown
            subset, with those that there are.
    """
    name, table = _open(source, "ground truth", "database")
    videos = parse_ground_truth(table, name)
    return videos if subset is None else choose_subset(videos, subset, name)


def parse_ground_truth(table: Mapping, name: str) -> dict[str, VideoAnnotation]:
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
    path = Path(path)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        most = min(MAX_JSON_BYTES, max(UNPACKED_ANYWAY, MOST_TIMES * path.stat().st_size))
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder, not a JSON file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not readable JSON ({error})") from None
    except MemoryError:
        raise ValueError(f"{path} is not readable JSON (there is no memory for it)") from None
    if len(data) > most:
        raise ValueError(f"{path} holds more than {most / 2**30:.2f} GiB of JSON")
    try:
        return parse_json(data)
    except ValueError as error:  # also bad Unicode, and integers without end
        raise ValueError(f"{path} is not readable JSON ({error})") from None
    except MemoryError:
        raise ValueError(f"{path} is not readable JSON (there is no memory for it)") from None


def _open(source: Source, what: str, key: str) -> tuple[str, Mapping]:
    if isinstance(source, Mapping):
        name, data = what, source
    elif not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"{what} must be a path or parsed JSON, got {source!r} ({type(source).__name__})"
        )
    else:
        name, data = str(source), read_json(source)
    table = data.get(key, data) if isinstance(data, Mapping) else None
    if table is data and isinstance(data.get(OTHER_KEY[key]), Mapping):
        raise ValueError(
            f'{name} has "{OTHER_KEY[key]}", not "{key}": were predictions and ground truth taken '
            "for each other?"
        )
    if not isinstance(table, Mapping):
        raise ValueError(f'{name} must be an object with "{key}", a table of videos')
    return name, table


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


def _check_some_have_annotations(name: str, table: Mapping) -> None:
    known = ("annotations", "actions")
    entries = [entry for entry in table.values() if isinstance(entry, Mapping)]
    if entries and not any(key in entry for entry in entries for key in known):
        raise ValueError(
            f'{name}: no video has "annotations"; the first, {next(iter(table))!r}, has '
            f"{', '.join(map(str, entries[0])) or 'nothing'}"
        )


def _annotations_of(name: str, video: str, entry: Mapping) -> list:
    """An entry without any is an unlabelled video's; one with lists under other names is of a
    layout that we do not know, and its video not free of actions."""
    if "annotations" in entry:
        return entry["annotations"]
    if "actions" in entry:
        return actions_as_annotations(name, video, entry["actions"])
    if any(isinstance(value, (list, Mapping)) for value in entry.values()):
        raise ValueError(
            f'{name}: video {video!r} has no "annotations"; it has {", ".join(map(str, entry))} '
            '(an unlabelled video has "annotations": [])'
        )
    return []


def actions_as_annotations(name: str, video: str, actions: object) -> list[dict]:
    """Charades' [[class, start, end], ...] as a list of {"segment", "label"}.

    Raises:
        ValueError: it is no such list.
    """
    fits = isinstance(actions, list) and all(
        isinstance(action, (list, tuple))
        and len(action) == 3
        and isinstance(action[0], (str, int))
        and not isinstance(action[0], bool)
        for action in actions
    )
    if not fits:
        raise ValueError(
            f'{name}: video {video!r}: "actions" must be a list of [class, start, end], the class '
            "a name or a number"
        )
    return [{"segment": [start, end], "label": str(label)} for label, start, end in actions]


def _parse(name: str, video: str, entries: object, scored: bool) -> Segments:
    if isinstance(entries, Segments):
        return _checked(name, video, entries)
    if not isinstance(entries, list):
        raise ValueError(f"{name}: video {video!r} must hold a list of segments")
    segments = np.empty((len(entries), 2))
    scores = np.ones(len(entries))
    labels = []
    for i, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or "segment" not in entry or "label" not in entry:
            raise ValueError(f'{name}: video {video!r}, entry {i} needs "segment" and "label"')
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
        labels.append(label_text(f"{name}: video {video!r}, entry {i}", entry["label"]))
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
    number = isinstance(value, (int, float, np.integer, np.floating))
    if number and not isinstance(value, bool) and float(value).is_integer():
        return str(int(value))
    raise ValueError(f"{where}: label must be a class's name or id, got {value!r}")


def _number(name: str, video: str, what: str, value: object) -> float:
    try:
        # Python takes true for 1 and "1_0" for 10.
        strange = isinstance(value, bool) or (isinstance(value, str) and "_" in value)
        number = np.nan if strange else float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"{name}: video {video!r}, {what} must be a finite number, got {value!r}")
    return number
