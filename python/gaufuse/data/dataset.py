"""Data sets on disk: dataset.toml, annotations.json (or .json.gz), features/<video>.npy.

dataset.toml   name, feature_dim, training_subset, testing_subset, classes, and how long a snippet
               is: snippet_seconds, or snippets = N: each video has N, which share its duration;
               background_videos = true, where training videos may show none of the classes
annotations    ActivityNet style, seconds; a video may have snippet_seconds of its own
features       (snippets, feature_dim) float16 or float32
"""

from __future__ import annotations

import copy
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gaufuse.config import DataConfig
from gaufuse.data.features import FeatureFiles
from gaufuse.data.prefetch import prefetch
from gaufuse.utils.toml_text import parse_toml
from gaufuse.utils.video_names import check_safe_names
from gaufuse_ext.annotations import VideoAnnotation, load_ground_truth, read_json
from gaufuse_ext.text import read_text

EAGER_BYTES = 256 << 20
FIELDS = {  # of dataset.toml; how long a snippet is, is checked apart
    "name": str,
    "feature_dim": int,
    "training_subset": str,
    "testing_subset": str,
    "classes": list,
}


@dataclass(frozen=True)
class DatasetInfo:
    """What dataset.toml says; `root` is the folder that it lies in."""

    root: Path
    name: str
    snippet_seconds: float | None  # None: each video has its own
    snippets: int | None  # that every video has; None: as many as its features
    feature_dim: int
    training_subset: str
    testing_subset: str
    classes: list[str]
    # A training video without annotations shows none of the classes, and teaches that; otherwise it
    # is an error, as its labels may only be missing.
    background_videos: bool = False


@dataclass(frozen=True)
class Batch:
    """Videos padded to the longest. Snippets past a video's length are masked out everywhere."""

    features: torch.Tensor  # (B, T, D) float32
    mask: torch.Tensor  # (B, T) bool
    lengths: torch.Tensor  # (B,) int64
    labels: torch.Tensor  # (B, C) float32 multi-hot
    most_labels: int  # the most classes that one of the videos has, at least 1
    videos: list[int]  # (B,) indices into the subset
    sizes: list[int]  # (B,) the lengths on the host

    def to(self, device: torch.device) -> Batch:
        """The same on a device; does not wait for copies out of pinned memory."""
        tensors = (self.features, self.mask, self.lengths, self.labels)
        features, mask, lengths, labels = (
            tensor.to(device, non_blocking=True) for tensor in tensors
        )
        return Batch(features, mask, lengths, labels, self.most_labels, self.videos, self.sizes)

    def select(self, rows: list[int]) -> Batch:
        """Those of its videos, padded to the longest of them."""
        if len(rows) == len(self.videos):
            return self
        sizes = [self.sizes[row] for row in rows]
        longest = max(sizes)
        tensors = (
            self.features[:, :longest],
            self.mask[:, :longest],
            self.lengths,
            self.labels,
        )
        # Not by an index tensor, which would have to be sent to the device.
        features, mask, lengths, labels = (
            torch.stack([tensor[row] for row in rows]) for tensor in tensors
        )
        return Batch(
            features,
            mask,
            lengths,
            labels,
            self.most_labels,
            [self.videos[row] for row in rows],
            sizes,
        )


class VideoSubset:
    """The videos of one subset. Features are read when they are asked for."""

    def __init__(
        self,
        info: DatasetInfo,
        names: list[str],
        videos: dict[str, VideoAnnotation],
        own_seconds: dict[str, float] | None = None,
        in_memory: bool = False,
    ):
        self.info = info
        self.names = names
        self.annotations = {name: videos[name] for name in names}
        paths = [feature_path(info.root, name) for name in names]
        self.features = FeatureFiles(paths, info.feature_dim, in_memory)
        self.snippet_seconds = self._snippet_seconds(own_seconds or {})
        self.labels = torch.zeros(len(names), len(info.classes))
        self.workers = 0  # threads that make batches ahead; see `prepare`
        self.pinned = False
        index = {label: i for i, label in enumerate(info.classes)}
        for row, name in zip(self.labels, names, strict=True):
            for label in self.annotations[name].labels:
                row[index[label]] = 1.0

    def __len__(self) -> int:
        return len(self.names)

    def _snippet_seconds(self, own: dict[str, float]) -> list[float]:
        """How long a snippet of each video is."""
        info = self.info
        seconds: list[float] = []
        for name, length in zip(self.names, self.features.lengths, strict=True):
            if info.snippets is None:
                known = own.get(name, info.snippet_seconds)
                if known is None:
                    raise ValueError(
                        f"{info.root}: neither dataset.toml nor video {name!r} of the annotations "
                        "has snippet_seconds"
                    )
                seconds.append(known)
                continue
            if length != info.snippets:
                raise ValueError(
                    f"{info.root / 'features' / name}.npy has {length} snippets, dataset.toml "
                    f"says {info.snippets} of every video: bring it there with "
                    f"`gaufuse convert --resample {info.snippets}`"
                )
            duration = self.annotations[name].duration
            if not duration or duration <= 0.0:
                raise ValueError(
                    f"{info.root}: video {name!r} needs a duration in the annotations, since its "
                    f"{length} snippets share it"
                )
            seconds.append(duration / length)
        return seconds

    def prepare(self, workers: int, device: torch.device) -> None:
        """Batches are made ahead by so many threads, in pinned memory for a CUDA device."""
        self.workers = workers
        self.pinned = device.type == "cuda"

    def select(self, videos: list[int]) -> VideoSubset:
        """Those of the videos, in that order, sharing their features."""
        chosen = copy.copy(self)
        chosen.names = [self.names[i] for i in videos]
        chosen.annotations = {name: self.annotations[name] for name in chosen.names}
        chosen.features = self.features.select(videos)
        chosen.snippet_seconds = [self.snippet_seconds[i] for i in videos]
        chosen.labels = self.labels[videos]
        return chosen

    def standardizer(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (D,) over all snippets; constant dimensions keep scale 1."""
        count = sum(self.features.lengths)
        total = torch.zeros(self.info.feature_dim, dtype=torch.float64)
        for x in self.features:
            total += x.double().sum(0)
        mean = total / count
        squares = torch.zeros_like(total)
        for x in self.features:
            squares += (x.double() - mean).square().sum(0)
        scale = (squares / count).sqrt()
        return mean.float(), torch.where(scale > 1e-8, scale, 1.0).float()

    def batch(self, videos: list[int]) -> Batch:
        """Those of the videos, by index and in that order, read from their files.

        Raises:
            ValueError: features with NaN or infinite values, with the file.
        """
        sizes = [self.features.lengths[i] for i in videos]
        lengths = torch.tensor(sizes)
        shape = (len(videos), max(sizes), self.info.feature_dim)
        features = torch.empty(shape, pin_memory=self.pinned)
        for row, i in zip(features, videos, strict=True):
            own = self.features[i]
            row[: len(own)] = own  # reads, converts and copies in one pass
            row[len(own) :] = 0.0
        mask = torch.arange(features.shape[1]) < lengths[:, None]
        labels = self.labels[videos]
        most_labels = max(1, int(labels.sum(1).max()))
        return Batch(features, mask, lengths, labels, most_labels, videos, sizes)

    def batches(self, size: int, order: list[int] | None = None) -> Iterator[Batch]:
        """All videos in the given order, `size` at a time. What is wrong with a video's file is
        raised where its batch would have come."""
        order = list(range(len(self))) if order is None else order
        parts = [order[first : first + size] for first in range(0, len(order), size)]
        return self.batches_of(parts)

    def batches_of(self, parts: list[list[int]]) -> Iterator[Batch]:
        """A batch of each list of videos, in that order."""
        return prefetch(self.batch, parts, self.workers)


@dataclass(frozen=True)
class Dataset:
    """The two subsets that are used: to train on, and to test on."""

    info: DatasetInfo
    training: VideoSubset
    testing: VideoSubset


def load_dataset(root: str | Path, in_memory: bool = False) -> Dataset:
    """Reads and checks a data set folder.

    The values of features are checked for NaN here if they are at most EAGER_BYTES, with each
    video's first use otherwise.

    Args:
        in_memory: keep features in memory once they were read, instead of mapping their files.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong there.
    """
    info = load_info(root)
    annotations = find_annotations(info.root)
    truth, seconds = load_annotations(info)
    known = set(info.classes)
    for name, video in truth.items():
        unknown = sorted(set(video.labels) - known)
        if unknown:
            raise ValueError(
                f"{annotations}: video {name!r} has class {unknown[0]!r}, which is not among the "
                f"classes of {info.root / 'dataset.toml'}: {', '.join(info.classes)}"
            )
    training = _subset(info, truth, info.training_subset, seconds, in_memory)
    unlabelled = [name for name in training.names if not training.annotations[name].labels]
    if len(unlabelled) == len(training):
        raise ValueError(f"{annotations}: no training video has annotations to learn from")
    if unlabelled and not info.background_videos:
        raise ValueError(
            f"{annotations}: training video {unlabelled[0]!r} has no annotation, so no label to "
            f"learn from ({len(unlabelled)} such videos); annotate it, remove it, or, if such "
            "videos show none of the classes, say background_videos = true in "
            f"{info.root / 'dataset.toml'}"
        )
    testing = _subset(info, truth, info.testing_subset, seconds, in_memory)
    if training.features.nbytes + testing.features.nbytes <= EAGER_BYTES:
        for subset in (training, testing):
            for i in range(len(subset)):
                subset.features[i]  # reads and checks
    return Dataset(info, training, testing)


def cross_validated(dataset: Dataset, config: DataConfig) -> Dataset:
    """The data set whose test videos are one fold of the training videos; as it is with one fold.

    Groups of videos (config.fold_group) are dealt out to the folds, largest first, each to the fold
    that has the fewest videos: the same whatever the seed.

    Raises:
        ValueError: a name does not match fold_group, or there are fewer groups than folds.
    """
    if config.folds == 1:
        return dataset
    training = dataset.training
    groups: dict[str, list[int]] = {}
    for video, name in enumerate(training.names):
        match = re.match(config.fold_group or ".*", name, re.DOTALL)
        if match is None:
            raise ValueError(f"data.fold_group {config.fold_group!r} matches no start of {name!r}")
        groups.setdefault(match[0], []).append(video)
    if len(groups) < config.folds:
        raise ValueError(
            f"data.folds = {config.folds}, but the {len(training)} training videos make "
            f"{len(groups)} groups: use fewer folds, or another data.fold_group"
        )
    folds: list[list[int]] = [[] for _ in range(config.folds)]
    for videos in sorted(groups.values(), key=len, reverse=True):
        min(folds, key=len).extend(videos)
    held_out = set(folds[config.fold])
    kept = [video for video in range(len(training)) if video not in held_out]
    return Dataset(dataset.info, training.select(kept), training.select(sorted(held_out)))


def load_info(root: str | Path) -> DatasetInfo:
    """Reads and checks the dataset.toml of a folder.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong there.
    """
    path = Path(root) / "dataset.toml"
    try:
        table = parse_toml(read_text(path), path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: {root} is not a data set folder") from None
    for field, kind in FIELDS.items():
        if field not in table:
            raise ValueError(f"{path} has no {field!r}")
        if type(table[field]) is not kind:
            raise ValueError(
                f"{path}: {field} must be of type {kind.__name__}, got {table[field]!r}"
            )
    if table["feature_dim"] <= 0:
        raise ValueError(f"{path}: feature_dim must be positive, got {table['feature_dim']}")
    background = table.get("background_videos", False)
    if type(background) is not bool:
        raise ValueError(f"{path}: background_videos must be true or false, got {background!r}")
    classes = [str(label) for label in table["classes"]]
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(f"{path}: classes must be a list of different names")
    return DatasetInfo(
        Path(root),
        table["name"],
        *_snippet_length(path, table),
        table["feature_dim"],
        table["training_subset"],
        table["testing_subset"],
        classes,
        background,
    )


def _snippet_length(path: Path, table: dict[str, Any]) -> tuple[float | None, int | None]:
    """snippet_seconds and snippets, one of which is None; both are where every video has its own
    snippet_seconds."""
    seconds, snippets = table.get("snippet_seconds"), table.get("snippets")
    if seconds is not None and snippets is not None:
        raise ValueError(f"{path}: snippet_seconds and snippets exclude each other: keep one")
    if seconds is not None:
        if type(seconds) not in (int, float) or not 0.0 < seconds < math.inf:
            raise ValueError(f"{path}: snippet_seconds must be a positive number, got {seconds!r}")
        return float(seconds), None
    if snippets is not None and (type(snippets) is not int or snippets <= 0):
        raise ValueError(f"{path}: snippets must be a positive integer, got {snippets!r}")
    return None, snippets


def load_annotations(info: DatasetInfo) -> tuple[dict[str, VideoAnnotation], dict[str, float]]:
    """Annotations by video, and the length of a snippet of those videos that have their own.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong there.
    """
    path = find_annotations(info.root)
    data = read_json(path)
    table = data.get("database", data) if isinstance(data, dict) else None
    if not isinstance(table, dict):
        raise ValueError(f'{path} must be an object with "database", a table of videos')
    try:
        truth = load_ground_truth({"database": table})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    check_safe_names(table, path)
    return truth, own_snippet_seconds(path, table)


def own_snippet_seconds(path: Path, table: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The length of a snippet of those videos whose entries have their own.

    Raises:
        ValueError: one that is not positive.
    """
    seconds = {}
    for name, entry in table.items():
        own = entry.get("snippet_seconds")
        if own is None:
            continue
        if not isinstance(own, int | float) or not 0.0 < own < math.inf:
            raise ValueError(f"{path}: video {name!r}: snippet_seconds must be positive: {own!r}")
        seconds[name] = float(own)
    return seconds


def feature_path(root: Path, name: str) -> Path:
    """A video's feature file, in whichever Unicode form its name was written."""
    folder = root / "features"
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    paths = [folder / f"{form}.npy" for form in forms]
    return next((path for path in paths if path.is_file()), paths[0])


def annotation_files(root: Path) -> list[Path]:
    """Where a data set's annotations may be, the first choice first."""
    return [root / "annotations.json", root / "annotations.json.gz"]


def find_annotations(root: Path) -> Path:
    """The first of `annotation_files` that is there.

    Raises:
        FileNotFoundError: there is none.
    """
    for path in annotation_files(root):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{root / 'annotations.json'} does not exist")


def _subset(
    info: DatasetInfo,
    truth: dict[str, VideoAnnotation],
    subset: str,
    seconds: dict[str, float],
    in_memory: bool,
) -> VideoSubset:
    names = [name for name, video in truth.items() if video.subset == subset]
    if not names:
        found = sorted({str(video.subset) for video in truth.values()})
        raise ValueError(
            f"{info.root}: no video of subset {subset!r}; the annotations have {', '.join(found)}"
        )
    return VideoSubset(info, names, truth, seconds, in_memory)
