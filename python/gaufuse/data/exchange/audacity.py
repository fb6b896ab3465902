"""Audacity's label tracks: a text file a video, a line of start, end and label a segment."""

from __future__ import annotations

from pathlib import Path

from gaufuse.data.exchange.annotated import (
    Annotated,
    ExchangeOptions,
    Row,
    video_annotation,
    write_new,
)
from gaufuse.utils.video_names import check_safe_names
from gaufuse.utils.visible import visible
from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.text import read_text

NAME = "audacity"
SUFFIX = ".txt"


def matches(path: Path) -> bool:
    """A text file, or a folder of nothing but those."""
    if path.is_dir():
        files = visible(path, "*")
        return bool(files) and all(file.suffix.lower() == SUFFIX for file in files)
    return path.suffix.lower() == SUFFIX


def read(path: Path, options: ExchangeOptions) -> Annotated:
    """One file, or a folder of VIDEO.txt.

    Raises:
        FileNotFoundError, ValueError: with the file, the line and what is wrong there.
    """
    files = visible(path, f"*{SUFFIX}") if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path} holds no VIDEO{SUFFIX}")
    return Annotated({file.stem: _read_video(file) for file in files}, scored=False)


def _read_video(path: Path) -> VideoAnnotation:
    rows = []
    for line_number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("\\"):  # a label's range of frequencies
            continue
        fields = line.split("\t", 2)
        if len(fields) != 3:
            raise ValueError(
                f"{path}, line {line_number}: expected start, end and label with tabs between "
                f"them, got {line!r:.80}"
            )
        rows.append(Row(fields[0], fields[1], fields[2].strip()))
    return video_annotation(str(path), rows)


def write(path: Path, annotated: Annotated, options: ExchangeOptions) -> list[str]:
    """A folder of VIDEO.txt; times to a microsecond.

    Raises:
        ValueError: a label with a tab or a line end, or a name that cannot be a file's.
    """
    check_safe_names(annotated.videos, "the videos")
    for label in annotated.classes():
        if set(label) & set("\t\r\n"):
            raise ValueError(f"class {label!r} has a tab or line end, which {NAME} cannot write")
    tracks = {}
    for video, entry in annotated.videos.items():
        rows = zip(entry.segments.tolist(), entry.labels, strict=True)
        lines = [f"{start:.6f}\t{end:.6f}\t{label}\n" for (start, end), label in rows]
        tracks[f"{video}{SUFFIX}"] = "".join(lines).encode()
    write_new(path, tracks, options)
    lost = ["subsets and durations of videos"] + (["scores"] if annotated.scored else [])
    return [f"{NAME} has no place for {' and '.join(reversed(lost))}"]
