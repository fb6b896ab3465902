"""W-TALC and RSKP: one .npy with all videos' features beside annotation arrays.

    SOURCE/Thumos14reduced-I3D-JOINTFeatures.npy
    SOURCE/videoname.npy, subset.npy, segments.npy, labels.npy, duration.npy, classlist.npy,
        or those in SOURCE/Thumos14reduced-Annotations/ (or any one subfolder)

The same for ActivityNet1.3-Annotations. Features are I3D's: 16 frames at 25 a second, unless told.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gaufuse.data.formats.json_annotations import database_of
from gaufuse.data.formats.pickled_arrays import PickledArrays
from gaufuse.data.formats.source import DataSource, SourceOptions, SourceVideo, classes_of
from gaufuse.data.wtalc_annotations import is_wtalc_folder, load_wtalc_classes, wtalc_entries
from gaufuse.utils.visible import visible

NAME = "wtalc"
SNIPPET_SECONDS = 16.0 / 25.0


def matches(path: Path, options: SourceOptions) -> bool:
    """Whether there are annotation arrays and one file of features."""
    return find_annotations(path, options) is not None and _features(path, options) is not None


def open_source(path: Path, options: SourceOptions) -> DataSource:
    """As `Format`; row i of the features is the video of row i of the annotations."""
    folder, file = find_annotations(path, options), _features(path, options)
    if folder is None:
        raise FileNotFoundError(f"{path} has no videoname.npy, nor one subfolder that has")
    if file is None:
        raise FileNotFoundError(
            f"{path} has no *Features*.npy: name the features with --features FILE"
        )
    database = database_of(wtalc_entries(folder), folder, options)
    annotations = database.annotations
    arrays = PickledArrays(file)
    if len(arrays) != len(annotations):
        raise ValueError(
            f"{file} has {len(arrays)} videos, the annotations of {folder} {len(annotations)}: "
            "the rows cannot be told apart"
        )
    videos = [
        SourceVideo(name, entry, partial(arrays.__getitem__, i))
        for i, (name, entry) in enumerate(annotations.items())
    ]
    classes = load_wtalc_classes(folder) or classes_of(annotations)
    seconds = options.snippet_seconds or SNIPPET_SECONDS
    return DataSource(NAME, path, videos, classes, seconds, mended=database.mended)


def find_annotations(path: Path, options: SourceOptions) -> Path | None:
    """The folder of annotation arrays: named, the source itself, or its only such subfolder."""
    if options.annotations is not None:
        return options.annotations if is_wtalc_folder(options.annotations) else None
    if not path.is_dir():
        return None
    if is_wtalc_folder(path):
        return path
    found = [folder for folder in sorted(path.iterdir()) if is_wtalc_folder(folder)]
    return found[0] if len(found) == 1 else None


def _features(path: Path, options: SourceOptions) -> Path | None:
    if options.features is not None:
        return options.features if options.features.is_file() else None
    found = [p for p in visible(path, "*.npy") if "features" in p.stem.lower()]
    return found[0] if len(found) == 1 else None
