"""Segments in CSV: a row each, under column names that the field's tools write."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gaufuse_ext.annotations import Segments, VideoAnnotation, read_packed
from gaufuse_ext.flat_segments import FlatSegments
from gaufuse_ext.text import read_text

# Column names without case, spaces, hyphens and underscores. pandas' data frames of ANETdetection
# have video-id, t-start, t-end, label, score.
NAMES = {
    "video": ("video", "videoid", "videoname", "vid"),
    "start": ("start", "tstart", "starttime", "startseconds", "begin"),
    "end": ("end", "tend", "endtime", "endseconds", "stop"),
    "label": ("label", "class", "classname", "category", "action"),
    "score": ("score", "confidence", "probability"),
    "subset": ("subset", "split"),
    "duration": ("duration", "videoduration", "durationsecond"),
}
MOST_FIELD = 1 << 16  # characters of a field


@dataclass(frozen=True)
class SegmentTable:
    """The rows of a file, in their order."""

    names: list[str]  # of all videos, also those without segments
    videos: list[str]  # of each segment
    segments: np.ndarray  # (N, 2) seconds
    labels: list[str]
    scores: np.ndarray  # (N,); ones where there is no such column
    subsets: dict[str, str]  # by video, where the file says
    durations: dict[str, float]
    all_scored: bool  # every segment has a score of its own, and there are some

    def detections(self) -> FlatSegments:
        """The rows in their order; videos and classes in the order of their first."""
        videos, classes = (list(dict.fromkeys(names)) for names in (self.names, self.labels))
        video_of, class_of = ({n: i for i, n in enumerate(names)} for names in (videos, classes))
        return FlatSegments(
            self.segments,
            np.array([video_of[name] for name in self.videos], dtype=np.int32),
            np.array([class_of[name] for name in self.labels], dtype=np.int32),
            self.scores,
            videos,
            classes,
        )

    def annotations(self) -> dict[str, VideoAnnotation]:
        """The rows as ground truth, by video."""
        by_video: dict[str, Segments] = self.detections().to_videos()
        return {
            video: VideoAnnotation(
                own.segments,
                own.labels,
                own.scores,
                self.subsets.get(video),
                self.durations.get(video),
            )
            for video, own in by_video.items()
        }


def read_segment_table(path: str | Path, scored: bool) -> SegmentTable:
    """A CSV file (commas, semicolons or tabs; also gzip) whose first line names its columns: video,
    start, end, label, score for detections; subset and duration are read where they are there. A
    row without start, end and label is a video without segments.

    Raises:
        FileNotFoundError, ValueError: with the path, the line and what is wrong there.
    """
    text = _text(path)
    try:
        delimiter = csv.Sniffer().sniff(text.partition("\n")[0], ",;\t").delimiter
    except csv.Error:
        delimiter = ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    csv.field_size_limit(MOST_FIELD)
    try:
        columns = _columns(path, next(rows, []), scored)
        return _table(path, rows, columns, scored)
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}: {error}") from None


def _text(path: str | Path) -> str:
    if not Path(path).name.lower().endswith(".gz"):
        return read_text(path)
    try:
        return read_packed(path).decode("utf-8-sig")
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not UTF-8 text ({error})") from None


def _columns(path: str | Path, header: list[str], scored: bool) -> dict[str, int]:
    plain = [re.sub(r"[\s_-]+", "", name).casefold() for name in header]
    found: dict[str, int] = {}
    for column, names in NAMES.items():
        places = [i for i, name in enumerate(plain) if name in names]
        if len(places) > 1:
            twice = ", ".join(header[i] for i in places)
            raise ValueError(f"{path}: columns {twice} could all be the {column}")
        if places:
            found[column] = places[0]
    needed = ("video", "start", "end", "label") + (("score",) if scored else ())
    missing = [column for column in needed if column not in found]
    if missing:
        raise ValueError(
            f"{path}: the first line must name the columns {', '.join(needed)}; "
            f"{', '.join(missing)} is missing in {', '.join(header) or 'an empty line'}"
        )
    return found


class _Rows(Protocol):
    """A csv.reader."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...


def _table(path: str | Path, rows: _Rows, columns: dict[str, int], scored: bool) -> SegmentTable:
    names, videos, labels, segments, scores = [], [], [], [], []
    all_scored = True
    subsets: dict[str, str] = {}
    durations: dict[str, float] = {}
    for row in rows:
        if not any(field.strip() for field in row):
            continue
        where = f"{path}, line {rows.line_num}"
        if len(row) <= max(columns.values()):
            raise ValueError(f"{where}: expected {max(columns.values()) + 1} fields, got {row!r}")
        fields = {column: row[place].strip() for column, place in columns.items()}
        if not fields["video"]:
            raise ValueError(f"{where}: video is empty")
        names.append(fields["video"])
        if fields.get("subset"):
            subsets.setdefault(fields["video"], fields["subset"])
        if fields.get("duration"):
            durations.setdefault(fields["video"], _number(where, "duration", fields["duration"]))
        if not any(fields[column] for column in ("start", "end", "label")):
            continue
        if not fields["label"]:
            raise ValueError(f"{where}: label is empty")
        start, end = (_number(where, column, fields[column]) for column in ("start", "end"))
        if end < start:
            raise ValueError(f"{where}: segment ends before it starts: [{start}, {end}]")
        videos.append(fields["video"])
        labels.append(_label(fields["label"]))
        segments.append((start, end))
        score = fields.get("score", "")
        all_scored &= bool(score)
        # What annotators added by hand has none.
        scores.append(_number(where, "score", score) if score or scored else 1.0)
    return SegmentTable(
        names,
        videos,
        np.array(segments).reshape(-1, 2),
        labels,
        np.array(scores),
        subsets,
        durations,
        all_scored and bool(labels),
    )


def _label(text: str) -> str:
    """Ids in any spelling are one class: "3.0", as pandas writes a column with gaps, is 3."""
    return str(int(text.split(".")[0])) if re.fullmatch(r"\d+(\.0+)?", text) else text


def _number(where: str, column: str, text: str) -> float:
    try:
        number = np.nan if "_" in text else float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"{where}: {column} must be a finite number, got {text!r}")
    return number
