"""What every format of annotators reads into and writes from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from gaufuse.utils.files import ensure_writable_folder, write_atomically
from gaufuse_ext.annotations import VideoAnnotation, label_text
from gaufuse_ext.name_templates import split_template


@dataclass(frozen=True)
class Annotated:
    """Segments by video, in seconds."""

    videos: dict[str, VideoAnnotation]
    scored: bool  # detections, or labels with confidences; else annotations, whose scores are 1
    notes: list[str] = field(default_factory=list)  # what was left out when it was read

    def classes(self) -> list[str]:
        """Sorted."""
        return sorted({label for entry in self.videos.values() for label in entry.labels})


@dataclass(frozen=True)
class ExchangeOptions:
    """What a user may have to say. None: found out, or not needed."""

    media: str = "{video}.mp4"  # where the annotator finds a video: a path or an address
    fps: float | None = None  # of files that count frames
    snippet_seconds: float | None = None  # of snippet labels that do not say
    threshold: float = 0.5  # from which a snippet label is action
    overwrite: bool = False


@dataclass(frozen=True)
class Row:
    """One segment as a file has it."""

    start: object
    end: object
    label: object
    score: object = None


def video_annotation(
    where: str, rows: Sequence[Row], subset: str | None = None, duration: object = None
) -> VideoAnnotation:
    """Checked segments of one video; the scores of those without are 1.

    Raises:
        ValueError: with `where` and what is wrong.
    """
    segments, scores, labels = np.empty((len(rows), 2)), np.ones(len(rows)), []
    for i, row in enumerate(rows):
        place = f"{where}, segment {i + 1}"
        segments[i] = number(place, "start", row.start), number(place, "end", row.end)
        if segments[i, 1] < segments[i, 0]:
            raise ValueError(f"{place} ends before it starts: {segments[i].tolist()}")
        labels.append(label_text(place, row.label))
        if row.score is not None:
            scores[i] = number(place, "score", row.score)
    length = None if duration in (None, "") else number(where, "duration", duration)
    return VideoAnnotation(segments, labels, scores, subset or None, length)


def number(where: str, what: str, value: object) -> float:
    """
    Raises:
        ValueError: not a finite number, or its text.
    """
    strange = isinstance(value, bool) or (isinstance(value, str) and "_" in value)
    try:
        found = np.nan if strange else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = np.nan
    if not np.isfinite(found):
        raise ValueError(f"{where}: {what} must be a finite number, got {value!r:.80}")
    return float(found)


def text_of(where: str, what: str, table: Mapping[str, object], key: str) -> str | None:
    """A text that may be missing.

    Raises:
        ValueError: it is something else.
    """
    value = table.get(key)
    if value is None or isinstance(value, str):
        return value or None
    raise ValueError(f"{where}: {what} must be text, got {value!r:.80}")


def media_of(video: str, template: str) -> str:
    """
    Raises:
        ValueError: {video} is not in the template once.
    """
    before, after = split_template(template, "--media")
    return f"{before}{video}{after}"


def video_of(media: str) -> str:
    """The name of a video in its path or address: of the file, without its suffix."""
    parts = urlsplit(media)
    local = parse_qs(parts.query).get("d")  # Label Studio's /data/local-files/?d=folder/name.mp4
    path = local[0] if local else unquote(parts.path) if parts.scheme else media
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return os.path.splitext(name)[0]


def check_new(paths: Iterable[Path], options: ExchangeOptions) -> None:
    """What is there may have been corrected by hand.

    Raises:
        ValueError: a file is there, and nobody said that it may go.
    """
    there = [path for path in paths if path.exists() and not options.overwrite]
    if there:
        raise ValueError(
            f"{there[0]} is there already"
            + (f", and {len(there) - 1} files more" if len(there) > 1 else "")
            + ": --overwrite replaces what may have been corrected by hand"
        )


def write_new(folder: Path, contents: Mapping[str, bytes], options: ExchangeOptions) -> None:
    """Files of a folder, by their names. One that is there as it is to be is none that was
    corrected by hand: so an export that was killed half-way is gone on with.

    Raises:
        ValueError: as `check_new`.
        WriteError: a file cannot be written.
    """
    left = {
        folder / name: data for name, data in contents.items() if not _holds(folder / name, data)
    }
    check_new(left, options)
    ensure_writable_folder(folder)
    for path, data in left.items():
        write_atomically(path, partial(_write, data))


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _write(data: bytes, file: BinaryIO) -> None:
    file.write(data)


def add_video(
    videos: dict[str, VideoAnnotation], source: object, name: str, entry: VideoAnnotation
) -> None:
    """
    Raises:
        ValueError: the video is there already.
    """
    if name in videos:
        raise ValueError(f"{source}: video {name!r:.300} is there twice")
    videos[name] = entry
