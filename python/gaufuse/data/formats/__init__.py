"""The layouts that users have, each behind the same interface (formats/source.py).

A format is a module with NAME, matches(path, options) and open_source(path, options).
"""

from __future__ import annotations

from pathlib import Path

from gaufuse.data.formats import actions, opentad, own, per_video, rgb_flow, wtalc
from gaufuse.data.formats.source import DataSource, SourceOptions

# The first that matches is taken: from the most particular to the most general.
FORMATS = (own, wtalc, rgb_flow, actions, opentad, per_video)


def open_source(path: str | Path, options: SourceOptions, name: str | None = None) -> DataSource:
    """Opens a data set of any known layout, by name or found out.

    Raises:
        FileNotFoundError, ValueError: nothing there, an unknown layout, or unreadable files.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if name is not None:
        chosen = next((form for form in FORMATS if name == form.NAME), None)
        if chosen is None:
            raise ValueError(f"--format must be one of {', '.join(names())}, got {name!r}")
        return chosen.open_source(path, options)
    for form in FORMATS:
        if form.matches(path, options):
            return form.open_source(path, options)
    raise ValueError(
        f"{path} is of none of the layouts {', '.join(names())} (`gaufuse convert --help`): name "
        "its parts with --annotations and --features, or its layout with --format"
    )


def names() -> list[str]:
    return [form.NAME for form in FORMATS]
