"""A .npy per video with gt.json (ACM-Net, ASM-Loc).

    SOURCE/gt.json                        segments may be strings, durations may be missing
    SOURCE/features/<video>.npy, or features/train/, features/test/, or any depth of folders

Or the annotation arrays of W-TALC instead of gt.json.
"""

from __future__ import annotations

from pathlib import Path

from gaufuse.data.formats import wtalc
from gaufuse.data.formats.feature_files import FeatureFolder
from gaufuse.data.formats.json_annotations import (
    classes_by_id,
    database_of,
    feature_root,
    find_json,
    load_database,
    require_json,
)
from gaufuse.data.formats.source import DataSource, Mended, SourceOptions, SourceVideo, classes_of
from gaufuse.data.wtalc_annotations import load_wtalc_classes, wtalc_entries
from gaufuse_ext.annotations import VideoAnnotation

NAME = "per_video"


def matches(path: Path, options: SourceOptions) -> bool:
    """Whether there are annotations that can be read, of either kind."""
    return find_json(path, options) is not None or wtalc.find_annotations(path, options) is not None


def open_source(path: Path, options: SourceOptions) -> DataSource:
    """As `Format`; classes in the order of label_id, or of classlist.npy."""
    annotations, classes, mended = _load_annotations(path, options)
    folder = FeatureFolder(feature_root(path, options), options)
    layout = folder.layout(otherwise="td")
    videos = [
        SourceVideo(name, entry, folder.reader(name, layout)) for name, entry in annotations.items()
    ]
    return DataSource(
        NAME,
        path,
        videos,
        classes,
        options.snippet_seconds or wtalc.SNIPPET_SECONDS,
        features_alone=folder.without(annotations),
        mended=mended,
    )


def _load_annotations(
    path: Path, options: SourceOptions
) -> tuple[dict[str, VideoAnnotation], list[str], list[Mended]]:
    arrays = wtalc.find_annotations(path, options)
    if arrays is not None:
        database = database_of(wtalc_entries(arrays), arrays, options)
        classes = load_wtalc_classes(arrays) or classes_of(database.annotations)
        return database.annotations, classes, database.mended
    file = require_json(path, options)
    database = load_database(file, options)
    classes = classes_by_id(file, database.entries) or classes_of(database.annotations)
    return database.annotations, classes, database.mended
