"""Annotations in the files of annotators, and back: a format a file, with the same interface.

A format is a module with NAME and with some of

    matches(path) -> bool                         whether a source looks like it
    read(path, options) -> Annotated
    write(path, annotated, options) -> list[str]  what could not be written, for people

(exchange/annotated.py). Names of videos come from files: what becomes a file's name is checked.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from gaufuse.data.exchange import (
    activitynet,
    audacity,
    csv_table,
    elan,
    label_studio,
    snippet_labels,
    via,
)
from gaufuse.data.exchange.annotated import Annotated, ExchangeOptions
from gaufuse.utils.video_names import check_safe_names

# The first that matches is taken: from the most particular to the most general.
FORMATS: tuple[ModuleType, ...] = (
    elan,
    audacity,
    csv_table,
    snippet_labels,
    label_studio,
    via,
    activitynet,
)
READABLE = tuple(form.NAME for form in FORMATS)
WRITABLE = tuple(form.NAME for form in FORMATS if hasattr(form, "write"))


def read_annotated(
    path: str | Path, options: ExchangeOptions, name: str | None = None
) -> Annotated:
    """Reads a source of a format, by name or found out.

    Raises:
        FileNotFoundError, ValueError: nothing there, an unknown format, or what is wrong in it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    form = _named(name) if name is not None else next(f for f in FORMATS if f.matches(path))
    annotated: Annotated = form.read(path, options)
    check_safe_names(annotated.videos, path)
    return annotated


def write_annotated(
    path: str | Path, annotated: Annotated, options: ExchangeOptions, name: str
) -> list[str]:
    """Writes a file, or a folder of a file a video; says what the format has no place for.

    Raises:
        ValueError: an unknown format, a name that cannot be written in it, or a file that is there
            and may not be overwritten.
        WriteError: it cannot be written.
    """
    form = _named(name)
    if not hasattr(form, "write"):
        raise ValueError(f"{name} is read, not written; choose from {', '.join(WRITABLE)}")
    notes: list[str] = form.write(Path(path), annotated, options)
    return notes


def _named(name: str) -> ModuleType:
    for form in FORMATS:
        if name == form.NAME:
            return form
    raise ValueError(f"format must be one of {', '.join(READABLE)}, got {name!r}")
