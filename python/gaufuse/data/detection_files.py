"""Detections from any kind of file that the commands accept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gaufuse.data.segment_tables import read_segment_table
from gaufuse.utils.safe_load import load_pickle
from gaufuse_ext.annotations import label_text
from gaufuse_ext.flat_predictions import load_flat_predictions
from gaufuse_ext.flat_segments import FlatSegments

PICKLED = ("video-id", "t-start", "t-end", "label", "score")  # ActionFormer's eval_results.pkl


def load_detections(source: str | Path) -> FlatSegments:
    """By the file's name: CSV (.csv), the pickled results of ActionFormer and its descendants
    (.pkl, .pickle), and else ActivityNet-style JSON; .gz is looked through, of CSV and JSON.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong there.
    """
    name = Path(source).name.lower()
    if name.endswith((".pkl", ".pickle")):
        return load_pickled_detections(source)
    if name.removesuffix(".gz").endswith(".csv"):
        return read_segment_table(source, scored=True).detections()
    return load_flat_predictions(source)


def load_pickled_detections(path: str | Path) -> FlatSegments:
    """A dictionary of equally long lists or arrays: video-id, t-start, t-end, label, score.

    Raises:
        FileNotFoundError, ValueError: with the path; another object, or values that are none.
            Nothing but arrays and plain values is unpickled.
    """
    table = load_pickle(path)
    if not isinstance(table, Mapping) or not all(key in table for key in PICKLED):
        raise ValueError(f"{path} must hold a dictionary with {', '.join(PICKLED)}")
    columns = {key: np.ravel(np.asarray(table[key])) for key in PICKLED}
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) != 1:
        shown = ", ".join(f"{length} {key}" for key, length in lengths.items())
        raise ValueError(f"{path}: columns are of different lengths: {shown}")
    videos, video_ids = _named(columns["video-id"].tolist(), str)
    classes, class_ids = _named(
        columns["label"].tolist(), lambda label: label_text(str(path), label)
    )
    try:
        segments = np.stack([columns["t-start"], columns["t-end"]], axis=1)
        return FlatSegments(segments, video_ids, class_ids, columns["score"], videos, classes)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _named(
    values: list[Any], name_of: Callable[[Any], str]
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Names in the order of their first, and the place of each value's."""
    places: dict[object, int] = {}
    ids = np.array([places.setdefault(value, len(places)) for value in values], dtype=np.int32)
    unique: dict[str, int] = {}
    table = [unique.setdefault(name_of(value), len(unique)) for value in places]
    return list(unique), np.array(table, dtype=np.int32)[ids] if len(ids) else ids
