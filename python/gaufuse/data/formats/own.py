"""Our own layout (dataset.toml, annotations.json, features/), to resample or shrink it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gaufuse.data.dataset import feature_path, find_annotations, load_info, own_snippet_seconds
from gaufuse.data.formats.feature_files import read_features
from gaufuse.data.formats.json_annotations import load_database
from gaufuse.data.formats.source import DataSource, SourceOptions, SourceVideo
from gaufuse_ext.name_templates import split_template

NAME = "gaufuse"


def matches(path: Path, options: SourceOptions) -> bool:
    """Whether there is a dataset.toml."""
    return (path / "dataset.toml").is_file()


def open_source(path: Path, options: SourceOptions) -> DataSource:
    """As `Format`; with the subsets that dataset.toml names."""
    info = load_info(path)
    file = find_annotations(path)
    database = load_database(file, options)
    seconds = own_snippet_seconds(file, database.entries)
    before, after = split_template(options.template)
    files = {name: feature_path(path, f"{before}{name}{after}") for name in database.annotations}
    videos = [
        SourceVideo(
            name,
            entry,
            partial(read_features, files[name]) if files[name].is_file() else None,
            seconds.get(name),
        )
        for name, entry in database.annotations.items()
    ]
    return DataSource(
        NAME,
        path,
        videos,
        info.classes,
        options.snippet_seconds or info.snippet_seconds,
        (info.training_subset, info.testing_subset),
        mended=database.mended,
    )
