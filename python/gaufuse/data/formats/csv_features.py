"""Features as text: a snippet a line, as the ActivityNet features of BSN are (csv_mean_100)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from gaufuse_ext.array_types import Array
from gaufuse_ext.text import read_text


def read_csv(path: Path) -> Array:
    """(T, D) float64. A heading, and the column of row numbers that pandas writes, are left out.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    text = read_text(path)
    heading, _, rest = text.partition("\n")
    delimiter = next((mark for mark in ",;\t" if mark in heading), None)
    fields, numbered = heading.split(delimiter), False
    if not _are_numbers(fields):
        text = rest
        numbered = len(fields) > 0 and fields[0].strip("\"' ") in ("", "Unnamed: 0")
    try:
        if not text.strip():
            raise ValueError("it has no line of numbers")
        array = np.loadtxt(io.StringIO(text), delimiter=delimiter, comments=None, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable table of numbers ({error})") from None
    if numbered and np.array_equal(array[:, 0], np.arange(len(array))):
        array = array[:, 1:]
    return array


def _are_numbers(fields: list[str]) -> bool:
    try:
        return bool([float(field) for field in fields])
    except ValueError:
        return False
