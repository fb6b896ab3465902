"""What every format offers to `gaufuse convert`: annotations at once, features video by video."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.array_types import Array
from gaufuse_ext.class_names import few

Orientation = Literal["td", "dt"]
ReadFeatures = Callable[[], Array]  # (T, D) floats, read when it is called


@dataclass(frozen=True)
class SourceVideo:
    """One video of a source: its annotations, and how to read its features."""

    name: str
    annotation: VideoAnnotation  # subset, segments in seconds, labels, duration where it is known
    features: ReadFeatures | None  # None: there is no file for it
    snippet_seconds: float | None = None  # None: that of the source


@dataclass(frozen=True)
class Mended:
    """A segment that was not as it must be, and what became of it."""

    video: str
    label: str
    fault: str  # what was wrong
    before: list[float]  # [start, end] in seconds
    after: list[float] | None  # None: left out


@dataclass(frozen=True)
class DataSource:
    """A data set as it was found. Nothing of its features is in memory."""

    format: str
    path: Path
    videos: list[SourceVideo]
    classes: list[str]
    snippet_seconds: float | None = None  # None: each video has its own, or it is not known
    subsets: tuple[str, str] | None = None  # training and testing, where the format says so
    features_alone: list[str] = field(default_factory=list)  # features without annotations
    trimmed: list[str] = field(default_factory=list)  # videos that lost a snippet when last read
    mended: list[Mended] = field(default_factory=list)  # by `clean`, before anything was parsed

    def __post_init__(self) -> None:
        """Checks classes.

        Raises:
            ValueError: a class twice, or one of a video that is not among the classes.
        """
        twice = next((label for label in self.classes if self.classes.count(label) > 1), None)
        if twice is not None:
            raise ValueError(f"{self.path}: class {twice!r} is listed twice")
        known = set(self.classes)
        for video in self.videos:
            for label in video.annotation.labels:
                if label not in known:
                    raise ValueError(
                        f"{self.path}: video {video.name!r} has class {label!r}, which is not "
                        f"among the classes listed: {few(self.classes)}"
                    )


@dataclass(frozen=True)
class SourceOptions:
    """What a user may have to say about a source. None: the format finds it out."""

    annotations: Path | None = None
    features: Path | None = None
    template: str = "{video}"  # of the feature files' names, without the suffix
    annotation_template: str = "{video}"  # of the videos' names in the annotations
    orientation: Literal["auto"] | Orientation = "auto"  # "td": (snippets, dimensions)
    crops: Literal["mean"] | int | None = None  # which of features (crops, snippets, dims)
    crop_axis: int | None = None  # None: found out
    snippet_seconds: float | None = None
    feat_stride: float | None = None  # frames between snippets
    fps: float | None = None  # of the frames that feat_stride counts, where JSON has none
    clean: bool = False  # exchange the ends of segments that end before they start


def classes_of(annotations: dict[str, VideoAnnotation]) -> list[str]:
    """In alphabetical order, as the field numbers them where no list of classes says otherwise;
    numbers in the order of their values."""
    classes = {label for entry in annotations.values() for label in entry.labels}
    return sorted(classes, key=int if are_numbers(classes) else None)


def are_numbers(classes: Iterable[str]) -> bool:
    """Whether classes are named by numbers, from 0 or 1 on."""
    return all(label.isascii() and label.isdigit() for label in classes)
