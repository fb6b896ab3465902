"""Our own forms: ActivityNet-style JSON of predictions or ground truth, and other ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gaufuse.data.exchange.annotated import Annotated, ExchangeOptions, check_new
from gaufuse.data.ground_truth import load_any_ground_truth
from gaufuse.utils.files import write_json
from gaufuse_ext.annotations import VideoAnnotation, load_predictions, read_json

NAME = "activitynet"


def matches(path: Path) -> bool:
    """Whatever no other format is."""
    return True


def read(path: Path, options: ExchangeOptions) -> Annotated:
    """{"results": ...}, {"database": ...}, a W-TALC annotation folder, or a data set's folder.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong there.
    """
    if path.is_dir():
        return Annotated(load_any_ground_truth(path), scored=False)
    data = read_json(path)
    if not isinstance(data, Mapping):
        raise ValueError(f'{path} must be an object with "results" or "database"')
    if "results" not in data:
        return Annotated(load_any_ground_truth(path), scored=False)
    videos = {
        video: VideoAnnotation(entry.segments, entry.labels, entry.scores)
        for video, entry in load_predictions(data).items()
    }
    return Annotated(videos, scored=True)


def write(path: Path, annotated: Annotated, options: ExchangeOptions) -> list[str]:
    """Predictions where there are scores, else ground truth."""
    check_new([path], options)
    if annotated.scored:
        results = {video: _entries(entry, True) for video, entry in annotated.videos.items()}
        write_json(path, {"version": "gaufuse", "results": results})
        lost = [x for x in ("subset", "duration") if _any(annotated, x)]
        return [f"predictions have no {what} of videos" for what in lost]
    database: dict[str, dict[str, object]] = {}
    for video, entry in annotated.videos.items():
        known = {"subset": entry.subset, "duration": entry.duration}
        database[video] = {key: value for key, value in known.items() if value is not None}
        database[video]["annotations"] = _entries(entry, False)
    write_json(path, {"database": database})
    return []


def _any(annotated: Annotated, name: str) -> bool:
    return any(getattr(entry, name) is not None for entry in annotated.videos.values())


def _entries(entry: VideoAnnotation, scored: bool) -> list[dict[str, object]]:
    rows = zip(entry.segments.tolist(), entry.labels, entry.scores.tolist(), strict=True)
    return [
        {"segment": segment, "label": label, **({"score": score} if scored else {})}
        for segment, label, score in rows
    ]
