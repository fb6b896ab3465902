"""ActionFormer and OpenTAD: JSON with fps and durations, features in a file per video.

    SOURCE/thumos14.json, or SOURCE/annotations/*.json     database[video]: fps, duration, label_id
    SOURCE/features/<video>.npy, .npz, .pt, .pkl           (T, D) or (D, T)

--feat-stride is theirs: frames between snippets, so that a video's snippet has feat_stride / fps
seconds. num_frames, the frames that a snippet looks at, does not change where it lies in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaufuse.data.formats.feature_files import FeatureFolder
from gaufuse.data.formats.json_annotations import (
    classes_by_id,
    feature_root,
    find_json,
    load_database,
    require_json,
)
from gaufuse.data.formats.source import (
    DataSource,
    Orientation,
    SourceOptions,
    SourceVideo,
    classes_of,
)

NAME = "opentad"


def matches(path: Path, options: SourceOptions) -> bool:
    """Whether there is an annotation file in which some video has "fps"."""
    return some_video_has("fps", path, options)


def open_source(path: Path, options: SourceOptions) -> DataSource:
    """As `Format`; classes in the order of label_id, where annotations have it."""
    return read_source(NAME, path, options)


def some_video_has(key: str, path: Path, options: SourceOptions) -> bool:
    """Whether there is an annotation file in which some video's entry has such a key."""
    file = find_json(path, options)
    if file is None or not file.is_file():
        return False
    return any(key in entry for entry in load_database(file, options).entries.values())


def read_source(
    format: str, path: Path, options: SourceOptions, otherwise: Orientation | None = None
) -> DataSource:
    """JSON, and a file of features per video, whose snippets may be so many frames apart.

    Args:
        otherwise: the axes of the features, where files do not tell; None makes that an error.
    """
    file = require_json(path, options)
    database = load_database(file, options)
    annotations, entries = database.annotations, database.entries
    folder = FeatureFolder(feature_root(path, options), options)
    layout = folder.layout(otherwise)
    videos = [
        SourceVideo(
            name,
            entry,
            folder.reader(name, layout),
            snippet_seconds(file, name, entries[name], options),
        )
        for name, entry in annotations.items()
    ]
    return DataSource(
        format,
        path,
        videos,
        classes_by_id(file, entries) or classes_of(annotations),
        options.snippet_seconds,
        features_alone=folder.without(annotations),
        mended=database.mended,
    )


def snippet_seconds(
    file: Path, name: str, entry: Mapping[str, Any], options: SourceOptions
) -> float | None:
    """None where the whole source has one, or a resampled video takes its share of the duration."""
    if options.feat_stride is None:
        return None
    fps = options.fps or entry.get("fps")
    if not isinstance(fps, int | float) or not 0.0 < fps < 1e6:
        raise ValueError(f"{file}: video {name!r} has fps {fps!r}; say --fps")
    return options.feat_stride / fps
