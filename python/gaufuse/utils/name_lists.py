"""Lists and tables of names that users give beside their data, as text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from gaufuse_ext.annotations import read_json
from gaufuse_ext.text import lines_of, read_text

DELIMITERS = ",;\t"  # spreadsheets write all three


def read_names(path: str | Path) -> list[str]:
    """Names, one a line (so they may hold spaces), or a JSON list of strings.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong there.
    """
    if not str(path).lower().endswith((".json", ".json.gz")):
        return lines_of(path)
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} must be a JSON list of names")
    return names


def read_class_names(path: str | Path) -> list[str]:
    """Different names of classes, one a line.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong there.
    """
    classes = read_names(path)
    repeated = [name for i, name in enumerate(classes) if name in classes[:i]]
    if not classes or repeated:
        raise ValueError(
            f"{path} must name different classes, one a line"
            + (f"; {repeated[0]!r} is there twice" if repeated else "")
        )
    return classes


def read_table(path: str | Path, key: str, value: str) -> dict[str, str]:
    """Two columns of a table with a heading, by the first: fields apart by commas, semicolons or
    tabs.

    Raises:
        FileNotFoundError, ValueError: with the file, the line and what is wrong there.
    """
    text = read_text(path)
    heading = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=heading.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    columns = [name.strip() for name in next(rows, [])]
    if not {key, value} <= set(columns):
        raise ValueError(f"{path} must be a table with columns {key} and {value}, got {heading!r}")
    places = columns.index(key), columns.index(value)
    table: dict[str, str] = {}
    for row in rows:
        if not any(field.strip() for field in row):
            continue
        fields = [row[i].strip() if i < len(row) else "" for i in places]
        if not all(fields):
            raise ValueError(f"{path}, line {rows.line_num}: {key} or {value} is missing")
        if table.setdefault(fields[0], fields[1]) != fields[1]:
            raise ValueError(
                f"{path}, line {rows.line_num}: {key} {fields[0]!r} has {value} "
                f"{table[fields[0]]!r} before and {fields[1]!r} here"
            )
    return table
