"""The classes of a source as a user's list names and orders them."""

from __future__ import annotations

from dataclasses import replace

from gaufuse.data.formats.source import DataSource, SourceVideo, are_numbers


def with_classes(source: DataSource, names: list[str]) -> DataSource:
    """The source with its classes in the order of the list. Where annotations have numbers, these
    become the names at their places, counted from 0, or from 1 where the last number says so.

    Raises:
        ValueError: a class that the list does not have.
    """
    found = set(source.classes)
    if found <= set(names):
        return replace(source, classes=names)
    if not are_numbers(found):
        unknown = sorted(found - set(names))
        raise ValueError(
            f"{source.path} has class {unknown[0]!r}, which --classes does not list "
            f"({len(unknown)} such classes; the list begins with {names[0]!r})"
        )
    numbers = sorted(map(int, found))
    first = 1 if numbers[-1] == len(names) and numbers[0] > 0 else 0
    if numbers[-1] - first >= len(names):
        raise ValueError(
            f"{source.path} has classes up to number {numbers[-1]}, --classes lists {len(names)}"
        )

    def renamed(video: SourceVideo) -> SourceVideo:
        labels = [names[int(label) - first] for label in video.annotation.labels]
        return replace(video, annotation=replace(video.annotation, labels=labels))

    return replace(source, classes=names, videos=[renamed(video) for video in source.videos])
