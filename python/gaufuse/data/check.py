"""`gaufuse data check`: everything that is wrong with a data set folder, not only the first."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from gaufuse.data.dataset import DatasetInfo, feature_path, load_annotations, load_info
from gaufuse.data.features import LARGE_FEATURE
from gaufuse.utils.console import ProgressLine
from gaufuse.utils.safe_load import load_array
from gaufuse.utils.visible import is_visible
from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.array_types import Array
from gaufuse_ext.name_templates import same_form, template_between

# Features end up to a snippet window before or after the video, whatever extracted them.
LENGTH_TOLERANCE = 0.05  # of the duration
LENGTH_SNIPPETS = 3.0  # always allowed
SEGMENT_TOLERANCE = 1.0  # seconds past the video's end: annotations are rounded


@dataclass
class Problem:
    """One kind of fault, and all that have it."""

    kind: str
    videos: list[str]  # or classes, or file names
    detail: str  # of the first
    fatal: bool  # training refuses it


@dataclass
class DataReport:
    """What `gaufuse data check` found."""

    name: str
    root: str
    feature_dim: int
    videos: dict[str, int] = field(default_factory=dict)  # by subset
    snippets: dict[str, int] = field(default_factory=dict)
    segments: dict[str, int] = field(default_factory=dict)
    class_videos: dict[str, dict[str, int]] = field(default_factory=dict)  # class -> subset -> n
    dtypes: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def fatal(self) -> bool:
        """Whether training would refuse the data set."""
        return any(problem.fatal for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """The fields, and "ok": that nothing is fatal."""
        return asdict(self) | {"ok": not self.fatal}

    def add(self, kind: str, video: str, detail: str, fatal: bool) -> None:
        """Notes a fault of a video (or class, or file); of a kind, the first one's detail stays."""
        for problem in self.problems:
            if problem.kind == kind:
                problem.videos.append(video)
                return
        self.problems.append(Problem(kind, [video], detail, fatal))


def check_data(root: str | Path, console: Console) -> DataReport:
    """Reads every file once.

    Raises:
        FileNotFoundError, ValueError: dataset.toml or the annotations cannot be read at all.
    """
    info = load_info(root)
    annotations, own_seconds = load_annotations(info)
    report = DataReport(info.name, str(root), info.feature_dim)
    used = {info.training_subset: "training", info.testing_subset: "testing"}
    snippets: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    digests: dict[int, str] = {}
    with ProgressLine(console, "checking", len(annotations)) as progress:
        for name, video in annotations.items():
            subset = str(video.subset)
            if subset in used:
                array = _check_features(info, name, report)
                if array is not None:
                    snippets[subset] += len(array)
                    dtypes[str(array.dtype)] += 1
                    _check_duplicate(array, name, digests, report)
                    seconds = own_seconds.get(name, info.snippet_seconds)
                    _check_length(info, name, video, len(array), seconds, report)
                _check_annotations(info, name, video, report)
            progress.advance()
    report.snippets, report.dtypes = dict(snippets), dict(dtypes)
    report.videos = dict(Counter(str(video.subset) for video in annotations.values()))
    _count_labels(info, annotations, report)
    _check_folder(info, annotations, report)
    return report


def _check_features(info: DatasetInfo, name: str, report: DataReport) -> Array | None:
    path = feature_path(info.root, name)
    try:
        array = load_array(path, mapped=True)
    except FileNotFoundError as error:
        report.add("no features", name, str(error), fatal=True)
        return None
    except ValueError as error:
        report.add("unreadable features", name, str(error), fatal=True)
        return None
    shape = f"{array.dtype} {array.shape}"
    if array.ndim != 2 or array.shape[1] != info.feature_dim or len(array) == 0:
        wanted = f"(snippets, {info.feature_dim})"
        report.add("wrong shape", name, f"{shape}, not {wanted}", fatal=True)
        return None
    if array.dtype not in (np.float16, np.float32, np.float64):
        report.add("not floats", name, shape, fatal=True)
        return None
    _check_values(array, name, report)
    return array


def _check_values(array: Array, name: str, report: DataReport) -> None:
    """In the type that training uses them in."""
    bad = int((~np.isfinite(array)).sum())
    if bad:
        report.add("NaN or infinite", name, f"{bad} values", fatal=True)
        return
    largest = float(max(abs(float(array.max())), abs(float(array.min()))))
    if largest > float(np.finfo(np.float32).max):
        report.add("too large for float32", name, f"up to {largest:.3g}", fatal=True)
    elif largest > LARGE_FEATURE:
        detail = f"up to {largest:.3g}: training may overflow; data.standardize=true helps"
        report.add("very large values", name, detail, fatal=False)
    elif not array.astype(np.float32).any():
        report.add("all zero", name, f"{array.dtype} {array.shape}", fatal=False)


def _check_duplicate(array: Array, name: str, digests: dict[int, str], report: DataReport) -> None:
    first = digests.setdefault(hash((array.shape, array.tobytes())), name)
    if first != name:
        report.add("same features twice", name, f"as {first!r}", fatal=False)


def _check_length(
    info: DatasetInfo,
    name: str,
    video: VideoAnnotation,
    length: int,
    seconds: float | None,
    report: DataReport,
) -> None:
    if info.snippets is not None:
        if length != info.snippets:
            detail = f"{length} snippets, dataset.toml says {info.snippets}"
            report.add("wrong number of snippets", name, detail, fatal=True)
        if not video.duration or video.duration <= 0.0:
            report.add("no duration", name, "its snippets share it", fatal=True)
        return
    if seconds is None:
        report.add("no snippet_seconds", name, "nor in dataset.toml", fatal=True)
        return
    if video.duration is not None and video.duration <= 0.0:
        report.add("duration not positive", name, f"{video.duration} s", fatal=False)
        return
    if not video.duration:
        report.add("no duration", name, "its length cannot be checked", fatal=False)
        return
    difference = abs(length * seconds - video.duration)
    if difference > max(LENGTH_TOLERANCE * video.duration, LENGTH_SNIPPETS * seconds):
        detail = f"{length} snippets of {seconds:.4g} s, but {video.duration:.4g} s"
        report.add("length differs from duration", name, detail, fatal=False)


def _check_annotations(
    info: DatasetInfo, name: str, video: VideoAnnotation, report: DataReport
) -> None:
    unknown = sorted(set(video.labels) - set(info.classes))
    if unknown:
        report.add("unknown class", name, f"{unknown[0]!r}", fatal=True)
    if not video.labels:
        training = video.subset == info.training_subset
        kind = "training" if training else "test"
        fatal = training and not info.background_videos
        report.add(f"{kind} video without labels", name, "", fatal=fatal)
        return
    if (video.segments[:, 0] < 0.0).any():
        report.add("segment before the video", name, f"{video.segments[:, 0].min()} s", fatal=False)
    duration, last = video.duration or 0.0, video.segments[:, 1].max()
    if duration > 0.0 and last > duration + SEGMENT_TOLERANCE:
        detail = f"ends at {last:.4g} s of {duration:.4g} s"
        report.add("segment past the video's end", name, detail, fatal=False)
    if (video.segments[:, 0] == video.segments[:, 1]).any():
        report.add("empty segment", name, "starts where it ends", fatal=False)


def _count_labels(
    info: DatasetInfo, annotations: dict[str, VideoAnnotation], report: DataReport
) -> None:
    subsets = (info.training_subset, info.testing_subset)
    report.class_videos = {label: dict.fromkeys(subsets, 0) for label in info.classes}
    segments: Counter[str] = Counter()
    for video in annotations.values():
        segments[str(video.subset)] += len(video.labels)
        for label in set(video.labels) & set(info.classes):
            if video.subset in subsets:
                report.class_videos[label][video.subset] += 1
    report.segments = dict(segments)
    for subset in subsets:
        if not report.videos.get(subset):
            report.add("subset without videos", subset, "", fatal=True)
    for label, counts in report.class_videos.items():
        if counts[info.training_subset] == 0:
            report.add("class without training videos", label, "cannot be learned", fatal=True)


def _check_folder(
    info: DatasetInfo, annotations: dict[str, VideoAnnotation], report: DataReport
) -> None:
    known, strangers = set(map(same_form, annotations)), []
    for path in sorted((info.root / "features").glob("*.npy")):
        if same_form(path.stem) not in known and is_visible(path, path.parent):
            strangers.append(path.stem)
            report.add("features without annotations", path.stem, "not used", fatal=False)
    missing = [v for p in report.problems if p.kind == "no features" for v in p.videos]
    template = template_between(missing, strangers) if missing and strangers else None
    if template is not None:
        detail = (
            f"features are named like {template}: "
            f"`gaufuse convert {info.root} OUT --template '{template}'`"
        )
        report.add("names differ by a prefix or suffix", missing[0], detail, fatal=False)
