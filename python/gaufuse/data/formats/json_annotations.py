"""The annotation JSON that formats with a file per video have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from gaufuse.data.formats.clean import exchange_ends
from gaufuse.data.formats.source import Mended, SourceOptions
from gaufuse.utils.video_names import ByName
from gaufuse.utils.visible import visible
from gaufuse_ext.annotations import (
    VideoAnnotation,
    label_text,
    parse_ground_truth,
    read_json,
)
from gaufuse_ext.name_templates import by_own_names

T = TypeVar("T")

PREFERRED = ("gt.json", "gt_full.json", "annotations.json")


def find_json(path: Path, options: SourceOptions) -> Path | None:
    """The annotation file: named, the source itself, of a usual name, or the only one there."""
    if options.annotations is not None:
        return options.annotations
    if path.is_file():
        return path
    for folder in (path, path / "annotations"):
        for name in PREFERRED:
            for file in (folder / name, folder / f"{name}.gz"):
                if file.is_file():
                    return file
        found = visible(folder, "*.json", "*.json.gz")
        if len(found) == 1:
            return found[0]
    return None


def require_json(path: Path, options: SourceOptions) -> Path:
    """As `find_json`.

    Raises:
        FileNotFoundError: there is none, or more than one.
    """
    found = find_json(path, options)
    if found is None:
        raise FileNotFoundError(
            f"{path} has not exactly one .json: name the annotations with --annotations FILE"
        )
    return found


@dataclass(frozen=True)
class Database:
    """Annotations by the videos' own names, and what else their entries say."""

    annotations: dict[str, VideoAnnotation]
    entries: dict[str, Mapping[str, Any]]  # as they are in the file: fps, label_id, ...
    mended: list[Mended]


def load_database(path: Path, options: SourceOptions) -> Database:
    """The annotation file, its segments' ends exchanged where `options` allow it.

    Raises:
        FileNotFoundError, ValueError: with the file, the video and what is wrong there.
    """
    data = read_json(path)
    table = data.get("database", data) if isinstance(data, Mapping) else None
    if not isinstance(table, Mapping):
        raise ValueError(f'{path} must be an object with "database", a table of videos')
    return database_of(table, path, options)


def database_of(
    table: Mapping[str, Mapping[str, Any]], source: Path, options: SourceOptions
) -> Database:
    """The same of entries by video, however they were read.

    Raises:
        ValueError: with the source, the video and what is wrong there.
    """
    table, mended = exchange_ends(table, source, options.clean)
    annotations = own_names(parse_ground_truth(table, str(source)), source, options)
    return Database(annotations, own_names(table, source, options), mended)


def own_names(table: Mapping[str, T], source: Path, options: SourceOptions) -> dict[str, T]:
    """The table by the videos' own names, which --annotation-template takes out of the keys.

    Raises:
        ValueError: a name that the template did not make, or two for one video.
    """
    found = by_own_names(table, options.annotation_template, source, "--annotation-template")
    return dict(ByName(found, source))


def classes_by_id(file: Path, entries: Mapping[str, Mapping[str, Any]]) -> list[str] | None:
    """The classes in the order of label_id; None where no annotation has one, and the order is then
    a matter of convention. Imported weights predict other classes in any other order.

    Raises:
        ValueError: a label_id that is no whole number, one for two classes or the other way round,
            or classes with and classes without one.
    """
    ids: dict[str, int] = {}
    without: dict[str, str] = {}  # class to a video that shows it
    for video, entry in entries.items():
        for annotation in entry.get("annotations", []):
            label = label_text(f"{file}: video {video!r}", annotation["label"])
            if annotation.get("label_id") is None:
                without.setdefault(label, video)
                continue
            number = _whole_number(file, video, label, annotation["label_id"])
            if ids.setdefault(label, number) != number:
                raise ValueError(
                    f"{file}: video {video!r} gives class {label!r} label_id {number}, others "
                    f"{ids[label]}"
                )
    if not ids:
        return None
    classes = sorted(ids, key=ids.__getitem__)
    for first, second in pairwise(classes):
        if ids[first] == ids[second]:
            raise ValueError(
                f"{file}: classes {first!r} and {second!r} have the same label_id {ids[first]}"
            )
    for label, video in without.items():
        if label not in ids:
            raise ValueError(
                f"{file}: class {label!r} (video {video!r}) has no label_id, others have: give it "
                "one, or remove all of them for the alphabetical order"
            )
    return classes


def _whole_number(file: Path, video: str, label: str, value: object) -> int:
    """Tools write 3 as 3.0 or "3"."""
    text = str(value).strip()
    if not isinstance(value, bool) and re.fullmatch(r"[+-]?\d+(\.0*)?", text):
        return int(text.partition(".")[0])
    raise ValueError(
        f"{file}: video {video!r}, class {label!r}: label_id must be a whole number, got {value!r}"
    )


def feature_root(path: Path, options: SourceOptions) -> Path:
    """Where features are looked for: named, the folder "features" beside the annotations, or all
    of the source."""
    if options.features is not None:
        return options.features
    folder = path if path.is_dir() else path.parent
    return folder / "features" if (folder / "features").is_dir() else folder
