"""A .npy per video with gt.json (ACM-Net, ASM-Loc).

    SOURCE/gt.json                        segments may be strings, durations may be missing
    SOURCE/features/<video>.npy, or features/train/, features/test/, or any depth of folders

Or the annotation arrays of W-TALC instead of gt.json.
"""

from __future__ import annotations

from pathlib import Path

from gaufuse.formats import wtalc
from gaufuse.formats.feature_files import FeatureFolder
from gaufuse.formats.json_annotations import (
    classes_by_id,
    feature_root,
    find_json,
    load_database,
    require_json,
)
from gaufuse.formats.source import Source, SourceOptions, SourceVideo, classes_of
from gaufuse.wtalc import load_wtalc_annotations, load_wtalc_classes
from gaufuse_ext.annotations import VideoAnnotation

NAME = "per_video"


def matches(path: Path, options: SourceOptions) -> bool:
    return find_json(path, options) is not None or wtalc.find_annotations(path, options) is not None


def open_source(path: Path, options: SourceOptions) -> Source:
    annotations, classes = _load_annotations(path, options)
    root = feature_root(path, options)
    folder = FeatureFolder(root, options.template)
    orientation = folder.orientation(options.orientation, otherwise="td")
    videos = [
        SourceVideo(name, entry, folder.reader(name, orientation))
        for name, entry in annotations.items()
    ]
    return Source(
        NAME,
        path,
        videos,
        classes,
        options.snippet_seconds or wtalc.SNIPPET_SECONDS,
        features_alone=sorted(set(folder.paths) - set(annotations)),
    )


def _load_annotations(
    path: Path, options: SourceOptions
) -> tuple[dict[str, VideoAnnotation], list[str]]:
    arrays = wtalc.find_annotations(path, options)
    if arrays is not None:
        annotations = load_wtalc_annotations(arrays)
        return annotations, load_wtalc_classes(arrays) or classes_of(annotations)
    file = require_json(path, options)
    annotations, entries = load_database(file)
    return annotations, classes_by_id(file, entries) or classes_of(annotations)
