"""Data sets on disk: dataset.toml, annotations.json (or .json.gz), features/<video>.npy.

dataset.toml   name, snippet_seconds, feature_dim, training_subset, testing_subset, classes
annotations    ActivityNet style, seconds
features       (snippets, feature_dim) float16 or float32
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gaufuse.safe_load import load_array
from gaufuse_ext.annotations import VideoAnnotation, load_ground_truth


@dataclass(frozen=True)
class DatasetInfo:
    root: Path
    name: str
    snippet_seconds: float
    feature_dim: int
    training_subset: str
    testing_subset: str
    classes: list[str]


@dataclass(frozen=True)
class Batch:
    """Videos padded to the longest. Snippets past a video's length are masked out everywhere."""

    features: torch.Tensor  # (B, T, D) float32
    mask: torch.Tensor  # (B, T) bool
    lengths: torch.Tensor  # (B,) int64
    labels: torch.Tensor  # (B, C) float32 multi-hot
    most_labels: int  # the most classes that one of the videos has
    videos: list[int]  # (B,) indices into the subset
    sizes: list[int] | None = None  # (B,) the lengths on the host; None: not known

    def to(self, device: torch.device) -> Batch:
        tensors = (self.features, self.mask, self.lengths, self.labels)
        moved = (tensor.to(device, non_blocking=True) for tensor in tensors)
        return Batch(*moved, self.most_labels, self.videos, self.sizes)


class VideoSubset:
    """The videos of one subset, with their features in memory."""

    def __init__(self, info: DatasetInfo, names: list[str], videos: dict[str, VideoAnnotation]):
        self.info = info
        self.names = names
        self.annotations = {name: videos[name] for name in names}
        self.features = [_load_features(info, name) for name in names]
        self.labels = torch.zeros(len(names), len(info.classes))
        index = {label: i for i, label in enumerate(info.classes)}
        for row, name in zip(self.labels, names, strict=True):
            for label in self.annotations[name].labels:
                row[index[label]] = 1.0

    def __len__(self) -> int:
        return len(self.names)

    def select(self, videos: list[int]) -> VideoSubset:
        """Those of the videos, in that order, sharing their features."""
        chosen = copy.copy(self)
        chosen.names = [self.names[i] for i in videos]
        chosen.annotations = {name: self.annotations[name] for name in chosen.names}
        chosen.features = [self.features[i] for i in videos]
        chosen.labels = self.labels[videos]
        return chosen

    def standardizer(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (D,) over all snippets; constant dimensions keep scale 1."""
        count = sum(len(x) for x in self.features)
        mean = sum(x.double().sum(0) for x in self.features) / count
        variance = sum((x.double() - mean).square().sum(0) for x in self.features) / count
        scale = variance.sqrt()
        return mean.float(), torch.where(scale > 1e-8, scale, 1.0).float()

    def batch(self, videos: list[int]) -> Batch:
        features = torch.nn.utils.rnn.pad_sequence(
            [self.features[i].float() for i in videos], batch_first=True
        )
        sizes = [len(self.features[i]) for i in videos]
        lengths = torch.tensor(sizes)
        mask = torch.arange(features.shape[1]) < lengths[:, None]
        labels = self.labels[videos]
        return Batch(features, mask, lengths, labels, int(labels.sum(1).max()), videos, sizes)

    def batches(self, size: int, order: list[int] | None = None) -> Iterator[Batch]:
        order = list(range(len(self))) if order is None else order
        for first in range(0, len(order), size):
            yield self.batch(order[first : first + size])


@dataclass(frozen=True)
class Dataset:
    info: DatasetInfo
    training: VideoSubset
    testing: VideoSubset


def load_dataset(root: str | Path) -> Dataset:
    """Reads and checks a data set folder.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong there.
    """
    info = load_info(root)
    annotations = _find_annotations(info.root)
    truth = load_ground_truth(annotations)
    known = set(info.classes)
    for name, video in truth.items():
        unknown = sorted(set(video.labels) - known)
        if unknown:
            raise ValueError(
                f"{annotations}: video {name!r} has class {unknown[0]!r}, which is not among the "
                f"classes of {info.root / 'dataset.toml'}: {', '.join(info.classes)}"
            )
    training = _subset(info, truth, info.training_subset)
    unlabelled = [name for name in training.names if not training.annotations[name].labels]
    if unlabelled:
        raise ValueError(
            f"{annotations}: training video {unlabelled[0]!r} has no annotation, so no label to "
            f"learn from ({len(unlabelled)} such videos); remove it or annotate it"
        )
    return Dataset(info, training, _subset(info, truth, info.testing_subset))


def load_info(root: str | Path) -> DatasetInfo:
    path = Path(root) / "dataset.toml"
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: {root} is not a data set folder") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    fields = {
        "name": str,
        "snippet_seconds": float,
        "feature_dim": int,
        "training_subset": str,
        "testing_subset": str,
        "classes": list,
    }
    for field, kind in fields.items():
        if field not in table:
            raise ValueError(f"{path} has no {field!r}")
        if not isinstance(table[field], (int, float) if kind is float else kind):
            raise ValueError(
                f"{path}: {field} must be of type {kind.__name__}, got {table[field]!r}"
            )
    if table["snippet_seconds"] <= 0 or table["feature_dim"] <= 0:
        raise ValueError(f"{path}: snippet_seconds and feature_dim must be positive")
    classes = [str(label) for label in table["classes"]]
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(f"{path}: classes must be a list of different names")
    return DatasetInfo(
        Path(root),
        table["name"],
        float(table["snippet_seconds"]),
        table["feature_dim"],
        table["training_subset"],
        table["testing_subset"],
        classes,
    )


def _find_annotations(root: Path) -> Path:
    for name in ("annotations.json", "annotations.json.gz"):
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(f"{root / 'annotations.json'} does not exist")


def _subset(info: DatasetInfo, truth: dict[str, VideoAnnotation], subset: str) -> VideoSubset:
    names = [name for name, video in truth.items() if video.subset == subset]
    if not names:
        found = sorted({str(video.subset) for video in truth.values()})
        raise ValueError(
            f"{info.root}: no video of subset {subset!r}; the annotations have {', '.join(found)}"
        )
    return VideoSubset(info, names, truth)


def _load_features(info: DatasetInfo, name: str) -> torch.Tensor:
    path = info.root / "features" / f"{name}.npy"
    array = load_array(path)
    if array.ndim != 2 or array.shape[1] != info.feature_dim:
        raise ValueError(
            f"{path} must have shape (snippets, {info.feature_dim}), got {array.shape}"
        )
    if len(array) == 0:
        raise ValueError(f"{path} has no snippet; remove the video or extract its features again")
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(f"{path} must hold floats, got {array.dtype}")
    bad = ~np.isfinite(array)
    if bad.any():
        snippet = int(np.flatnonzero(bad.any(axis=1))[0])
        raise ValueError(
            f"{path} has {int(bad.sum())} NaN or infinite values, first in snippet {snippet}"
        )
    return torch.from_numpy(array if array.dtype != np.float64 else array.astype(np.float32))
