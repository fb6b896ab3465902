"""The layouts that users have, a module each, behind the same interface: `Format`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from gaufuse.data.formats import actions, opentad, own, per_video, rgb_flow, wtalc
from gaufuse.data.formats.source import DataSource, SourceOptions


class Format(Protocol):
    """What a format's module offers."""

    NAME: str  # for --format

    def matches(self, path: Path, options: SourceOptions) -> bool:
        """Whether what is at `path` looks like this format; never an error for another one's."""

    def open_source(self, path: Path, options: SourceOptions) -> DataSource:
        """The annotations, checked, and where the features are.

        Raises:
            FileNotFoundError, ValueError: with the file and what is wrong there.
        """


# The first that matches is taken: from the most particular to the most general.
FORMATS: tuple[Format, ...] = (own, wtalc, rgb_flow, actions, opentad, per_video)


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
    """What --format takes."""
    return [form.NAME for form in FORMATS]
