"""Charades and MultiTHUMOS: JSON with lists of actions, features in a file per video.

    SOURCE/charades.json            video: {subset, duration, actions: [[class, start, end], ...]}
    SOURCE/features/<video>.npy     (T, D) or (T, 1, 1, D), or other files (feature_files.py)

Classes are numbers, for which --classes has names. How long a snippet is must be said, with
--snippet-seconds, or --feat-stride and --fps (Charades: 24 frames a second).
"""

from __future__ import annotations

from pathlib import Path

from gaufuse.data.formats.feature_files import FeatureFolder
from gaufuse.data.formats.json_annotations import (
    feature_root,
    find_json,
    load_database,
    require_json,
)
from gaufuse.data.formats.opentad import snippet_seconds
from gaufuse.data.formats.source import DataSource, SourceOptions, SourceVideo, classes_of

NAME = "actions"


def matches(path: Path, options: SourceOptions) -> bool:
    """Whether there is an annotation file in which some video has "actions"."""
    file = find_json(path, options)
    if file is None or not file.is_file():
        return False
    return any("actions" in entry for entry in load_database(file, options).entries.values())


def open_source(path: Path, options: SourceOptions) -> DataSource:
    """As `Format`; classes in the order of their numbers."""
    file = require_json(path, options)
    database = load_database(file, options)
    folder = FeatureFolder(feature_root(path, options), options)
    layout = folder.layout(otherwise="td")
    videos = [
        SourceVideo(
            name,
            entry,
            folder.reader(name, layout),
            snippet_seconds(file, name, database.entries[name], options),
        )
        for name, entry in database.annotations.items()
    ]
    return DataSource(
        NAME,
        path,
        videos,
        classes_of(database.annotations),
        options.snippet_seconds,
        features_alone=folder.without(database.annotations),
        mended=database.mended,
    )
