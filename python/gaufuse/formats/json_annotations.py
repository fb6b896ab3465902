"""The annotation JSON that formats with a file per video have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gaufuse.formats.source import SourceOptions
from gaufuse_ext.annotations import VideoAnnotation, load_ground_truth, read_json

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
        found = [*folder.glob("*.json"), *folder.glob("*.json.gz")]
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


def load_database(path: Path) -> tuple[dict[str, VideoAnnotation], Mapping[str, Mapping]]:
    """Parsed annotations, and the raw entries for what else they say (fps, label_id, ...)."""
    data = read_json(path)
    annotations = load_ground_truth(data if isinstance(data, Mapping) else {"database": data})
    return annotations, data.get("database", data)


def feature_root(path: Path, options: SourceOptions) -> Path:
    if options.features is not None:
        return options.features
    folder = path if path.is_dir() else path.parent
    return folder / "features" if (folder / "features").is_dir() else folder
