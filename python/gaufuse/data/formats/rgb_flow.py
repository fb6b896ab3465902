"""Two streams in folders of their own (WTAL-Uncertainty-Modeling, CoLA), joined rgb then flow.

    SOURCE/gt.json
    SOURCE/features/{train,test}/{rgb,flow}/<video>.npy, or any folders named rgb and flow

Streams whose lengths differ by one snippet are cut to the shorter one; more is an error.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from gaufuse.data.formats.feature_files import (
    ArrayLayout,
    FeatureFolder,
    FeaturePlace,
    read_features,
)
from gaufuse.data.formats.json_annotations import (
    classes_by_id,
    feature_root,
    find_json,
    load_database,
    require_json,
)
from gaufuse.data.formats.source import DataSource, SourceOptions, SourceVideo, classes_of
from gaufuse.data.formats.wtalc import SNIPPET_SECONDS
from gaufuse.utils.visible import is_visible
from gaufuse_ext.array_types import Array

NAME = "rgb_flow"
STREAMS = ("rgb", "flow")


def matches(path: Path, options: SourceOptions) -> bool:
    """Whether there is an annotation file, and folders named rgb and flow."""
    if find_json(path, options) is None:
        return False
    return all(_stream_folders(feature_root(path, options), stream) for stream in STREAMS)


def open_source(path: Path, options: SourceOptions) -> DataSource:
    """As `Format`; a video is only then without features when it has neither stream."""
    file = require_json(path, options)
    database = load_database(file, options)
    annotations = database.annotations
    root = feature_root(path, options)
    streams = [_open_stream(root, stream, options) for stream in STREAMS]
    layouts = [folder.layout(otherwise="td") for folder in streams]
    rgb, flow = (folder.places for folder in streams)
    one_only = sorted({*streams[0].without(flow), *streams[1].without(rgb)})
    if one_only:
        raise ValueError(
            f"{root}: {len(one_only)} videos have one of rgb and flow only: "
            f"{', '.join(one_only[:3])}"
        )
    trimmed: list[str] = []
    join = partial(_join, layouts=layouts, trimmed=trimmed)
    videos = [
        SourceVideo(
            name,
            entry,
            partial(join, name, rgb[name], flow[name]) if name in rgb else None,
        )
        for name, entry in annotations.items()
    ]
    return DataSource(
        NAME,
        path,
        videos,
        classes_by_id(file, database.entries) or classes_of(annotations),
        options.snippet_seconds or SNIPPET_SECONDS,
        features_alone=streams[0].without(annotations),
        trimmed=trimmed,
        mended=database.mended,
    )


def _stream_folders(root: Path, stream: str) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(p for p in root.rglob(stream) if p.is_dir() and is_visible(p, root))


def _open_stream(root: Path, stream: str, options: SourceOptions) -> FeatureFolder:
    folders = _stream_folders(root, stream)
    if not folders:
        raise FileNotFoundError(f"{root} has no folder named {stream}")
    return FeatureFolder(root, options, folders)


def _join(
    name: str,
    rgb: FeaturePlace,
    flow: FeaturePlace,
    layouts: list[ArrayLayout],
    trimmed: list[str],
) -> Array:
    """(T, D_rgb + D_flow). The name of a video that loses a snippet is added to `trimmed`.

    Raises:
        ValueError: lengths that differ by more than one snippet.
    """
    first, second = read_features(rgb, layouts[0]), read_features(flow, layouts[1])
    if abs(len(first) - len(second)) > 1:
        raise ValueError(
            f"{rgb} has {len(first)} snippets, {flow} {len(second)}: they are not of one video, or "
            "one was not extracted to its end"
        )
    if len(first) != len(second) and name not in trimmed:
        trimmed.append(name)
    length = min(len(first), len(second))
    return np.concatenate([first[:length], second[:length]], axis=1)
