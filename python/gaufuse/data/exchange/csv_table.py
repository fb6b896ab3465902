"""CSV: a row for each segment, and one without times for a video that has none."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

from gaufuse.data.exchange.annotated import Annotated, ExchangeOptions, check_new
from gaufuse.data.segment_tables import read_segment_table
from gaufuse.utils.files import write_atomically

NAME = "csv"
COLUMNS = ("video", "subset", "duration", "start", "end", "label", "score")


def matches(path: Path) -> bool:
    """By the name."""
    return path.is_file() and path.name.lower().removesuffix(".gz").endswith(".csv")


def read(path: Path, options: ExchangeOptions) -> Annotated:
    """Columns under the names that the field's tools give them (gaufuse/data/segment_tables.py).

    Raises:
        FileNotFoundError, ValueError: with the path, the line and what is wrong there.
    """
    table = read_segment_table(path, scored=False)
    return Annotated(table.annotations(), scored=table.all_scored)


def write(path: Path, annotated: Annotated, options: ExchangeOptions) -> list[str]:
    """With commas; gzip where the name ends in .gz."""
    check_new([path], options)
    columns = COLUMNS if annotated.scored else COLUMNS[:-1]
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    for video, entry in annotated.videos.items():
        about = [video, entry.subset or "", "" if entry.duration is None else entry.duration]
        if not entry.labels:
            rows.writerow([*about, *[""] * (len(columns) - len(about))])
        segments = zip(entry.segments.tolist(), entry.labels, entry.scores.tolist(), strict=True)
        for segment, label, score in segments:
            rows.writerow([*about, *segment, label, score][: len(columns)])
    data = text.getvalue().encode()
    if path.name.lower().endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    write_atomically(path, lambda file: file.write(data))
    return []
