"""The annotation JSON that formats with a file per video have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gaufuse.formats.clean import exchange_ends
from gaufuse.formats.source import Mended, SourceOptions
from gaufuse.formats.visible import visible
from gaufuse.video_names import ByName, split_template, take_apart
from gaufuse_ext.annotations import VideoAnnotation, load_ground_truth, read_json

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
            if (folder / name).is_file():
                return folder / name
        found = visible(folder, "*.json", "*.json.gz")
        if len(found) == 1:
            return found[0]
    return None


def require_json(path: Path, options: SourceOptions) -> Path:
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
    entries: dict[str, Mapping]  # as they are in the file: fps, label_id, ...
    mended: list[Mended]


def load_database(path: Path, options: SourceOptions) -> Database:
    """
    Raises:
        FileNotFoundError, ValueError: with the file, the video and what is wrong there.
    """
    data = read_json(path)
    table = data.get("database", data) if isinstance(data, Mapping) else None
    if not isinstance(table, Mapping):
        raise ValueError(f'{path} must be an object with "database", a table of videos')
    table, mended = exchange_ends(table, path, options.clean)
    try:
        annotations = load_ground_truth({"database": table})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    annotations = own_names(annotations, path, options)
    return Database(annotations, own_names(table, path, options), mended)


def own_names(table: Mapping[str, T], source: Path, options: SourceOptions) -> dict[str, T]:
    """The table by the videos' own names, which --annotation-template takes out of the keys.

    Raises:
        ValueError: a name that the template did not make, or two for one video.
    """
    split_template(options.annotation_template, "--annotation-template")
    found: dict[str, T] = {}
    for name, entry in table.items():
        own = take_apart(options.annotation_template, name)
        if own is None:
            raise ValueError(
                f"{source}: video {name!r} does not look like {options.annotation_template!r} "
                "(--annotation-template)"
            )
        found[own] = entry
    return dict(ByName(found, source))


def feature_root(path: Path, options: SourceOptions) -> Path:
    if options.features is not None:
        return options.features
    folder = path if path.is_dir() else path.parent
    return folder / "features" if (folder / "features").is_dir() else folder
