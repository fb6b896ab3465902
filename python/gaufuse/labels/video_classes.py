"""What `gaufuse label` takes from annotations: each video's classes, and how long it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaufuse.data.dataset import feature_path, find_annotations, load_info, own_snippet_seconds
from gaufuse.data.ground_truth import load_any_ground_truth
from gaufuse.data.snippet_count import snippet_count
from gaufuse.utils.safe_load import PlainArrayFile
from gaufuse.utils.video_names import ByName
from gaufuse_ext.annotations import VideoAnnotation, read_json
from gaufuse_ext.class_names import few
from gaufuse_ext.name_templates import by_own_names, mismatch_hint

SNIPPET_SECONDS = 16.0 / 25.0


@dataclass(frozen=True)
class LabelAnnotations:
    """Annotations by the names that videos have in the input."""

    source: Path
    videos: ByName[VideoAnnotation]
    own_seconds: ByName[float]  # of a snippet, where the data set says so

    @classmethod
    def load(cls, source: Path, template: str) -> LabelAnnotations:
        """Reads annotations that `load_any_ground_truth` knows.

        Args:
            template: of the names in the annotations, made of those in the input.

        Raises:
            FileNotFoundError, ValueError: with the path and what is wrong.
        """
        option = "--annotation-template"
        truth = load_any_ground_truth(source)
        seconds = _snippet_seconds(source, truth)
        return cls(
            source,
            ByName(by_own_names(truth, template, source, option), source),
            ByName(by_own_names(seconds, template, source, option), source),
        )

    def check_names(self, videos: Collection[str], source: object) -> list[str]:
        """The videos that it does not have.

        Raises:
            ValueError: all of them, with what may help.
        """
        unknown = [video for video in videos if video not in self.videos]
        if videos and len(unknown) == len(videos):
            hint = mismatch_hint(
                videos,
                list(self.videos),
                str(source),
                str(self.source),
                "--template",
                "--annotation-template",
            )
            raise ValueError(f"no video of {source} is in {self.source}{hint}")
        return unknown

    def check_classes(self, videos: Iterable[str], classes: Collection[str]) -> list[str]:
        """The classes of those videos that the input does not have.

        Raises:
            ValueError: all of them.
        """
        found = dict.fromkeys(label for video in videos for label in self.videos[video].labels)
        unknown = [label for label in found if label not in classes]
        if found and len(unknown) == len(found):
            raise ValueError(
                f"no class of {self.source} ({few(unknown)}) is among those of the input "
                f"({few(classes)}): name them alike"
            )
        return unknown

    def num_snippets(self, video: str, seconds: float) -> int | None:
        """As many as the data set's features have, where it has them, else by the duration; None
        where that is not known.

        Raises:
            ValueError: a duration that is not positive.
        """
        features = feature_path(self.source, video)
        if features.is_file():
            return PlainArrayFile.read(features).shape[0]
        duration = self.videos[video].duration
        if duration is None:
            return None
        try:
            return snippet_count(duration, seconds)
        except ValueError:
            raise ValueError(
                f"{self.source}: video {video!r} has duration {duration}: it must be positive, or "
                "left out where it is not known"
            ) from None


def _snippet_seconds(source: Path, truth: dict[str, VideoAnnotation]) -> dict[str, float]:
    """By video, where the annotations are those of a data set folder."""
    if not (source / "dataset.toml").is_file():
        return {}
    info = load_info(source)
    if info.snippets is not None:
        timed = {name: entry.duration for name, entry in truth.items() if entry.duration}
        return {name: duration / info.snippets for name, duration in timed.items()}
    path = find_annotations(source)
    data: Any = read_json(path)  # an object: the annotations were read from it
    own = own_snippet_seconds(path, data.get("database", data))
    every = {} if info.snippet_seconds is None else dict.fromkeys(truth, info.snippet_seconds)
    return every | own
