"""Two streams in folders of their own (WTAL-Uncertainty-Modeling, CoLA), joined rgb then flow.

    SOURCE/gt.json
    SOURCE/features/{train,test}/{rgb,flow}/<video>.npy, or any folders named rgb and flow

Streams whose lengths differ by one snippet are cut to the shorter one; more is an error.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from gaufuse.formats.feature_files import FeatureFolder, read_features
from gaufuse.formats.json_annotations import (
    classes_by_id,
    feature_root,
    find_json,
    load_database,
    require_json,
)
from gaufuse.formats.source import Source, SourceOptions, SourceVideo, classes_of
from gaufuse.formats.wtalc import SNIPPET_SECONDS

NAME = "rgb_flow"
STREAMS = ("rgb", "flow")


def matches(path: Path, options: SourceOptions) -> bool:
    if find_json(path, options) is None:
        return False
    return all(_stream_folders(feature_root(path, options), stream) for stream in STREAMS)


def open_source(path: Path, options: SourceOptions) -> Source:
    file = require_json(path, options)
    annotations, entries = load_database(file)
    root = feature_root(path, options)
    streams = [_open_stream(root, stream, options) for stream in STREAMS]
    orientations = [folder.orientation(options.orientation, otherwise="td") for folder in streams]
    rgb, flow = (folder.paths for folder in streams)
    one_only = sorted(set(rgb) ^ set(flow))
    if one_only:
        raise ValueError(
            f"{root}: {len(one_only)} videos have one of rgb and flow only: "
            f"{', '.join(one_only[:3])}"
        )
    trimmed: list[str] = []
    join = partial(_join, orientations=orientations, trimmed=trimmed)
    videos = [
        SourceVideo(
            name,
            entry,
            partial(join, name, rgb[name], flow[name]) if name in rgb else None,
        )
        for name, entry in annotations.items()
    ]
    return Source(
        NAME,
        path,
        videos,
        classes_by_id(file, entries) or classes_of(annotations),
        options.snippet_seconds or SNIPPET_SECONDS,
        features_alone=sorted(set(rgb) - set(annotations)),
        trimmed=trimmed,
    )


def _stream_folders(root: Path, stream: str) -> list[Path]:
    return sorted(path for path in root.rglob(stream) if path.is_dir()) if root.is_dir() else []


def _open_stream(root: Path, stream: str, options: SourceOptions) -> FeatureFolder:
    folders = _stream_folders(root, stream)
    if not folders:
        raise FileNotFoundError(f"{root} has no folder named {stream}")
    return FeatureFolder(root, options.template, folders)


def _join(
    name: str, rgb: Path, flow: Path, orientations: list[str], trimmed: list[str]
) -> np.ndarray:
    """(T, D_rgb + D_flow). The name of a video that loses a snippet is added to `trimmed`.

    Raises:
        ValueError: lengths that differ by more than one snippet.
    """
    first, second = read_features(rgb, orientations[0]), read_features(flow, orientations[1])
    if abs(len(first) - len(second)) > 1:
        raise ValueError(
            f"{rgb} has {len(first)} snippets, {flow} {len(second)}: they are not of one video, or "
            "one was not extracted to its end"
        )
    if len(first) != len(second) and name not in trimmed:
        trimmed.append(name)
    length = min(len(first), len(second))
    return np.concatenate([first[:length], second[:length]], axis=1)
