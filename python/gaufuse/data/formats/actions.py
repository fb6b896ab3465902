"""Charades and MultiTHUMOS: JSON with lists of actions, features in a file per video.

    SOURCE/charades.json            video: {subset, duration, actions: [[class, start, end], ...]}
    SOURCE/features/<video>.npy     (T, D) or (T, 1, 1, D), or other files (feature_files.py)

Classes are numbers, for which --classes has names. How long a snippet is must be said, with
--snippet-seconds, or --feat-stride and --fps (Charades: 24 frames a second).
"""

from __future__ import annotations

from pathlib import Path

from gaufuse.data.formats.opentad import read_source, some_video_has
from gaufuse.data.formats.source import DataSource, SourceOptions

NAME = "actions"


def matches(path: Path, options: SourceOptions) -> bool:
    """Whether there is an annotation file in which some video has "actions"."""
    return some_video_has("actions", path, options)


def open_source(path: Path, options: SourceOptions) -> DataSource:
    """As `Format`; classes in the order of their numbers."""
    return read_source(NAME, path, options, otherwise="td")
