"""What the training benchmark trains on: videos that are on no disk, and a step to train with."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from gaufuse.config import Config, load_config
from gaufuse.data.dataset import DatasetInfo, VideoSubset
from gaufuse.model.class_memory import ClassMemory
from gaufuse.model.rskp import SnippetModel
from gaufuse.training.step import TrainingStep, make_optimizer

CLASSES, VIDEOS = 20, 10
EPOCH = 260  # of thumos14: memory, delta labels


class RandomFeatures:
    """Non-negative features as a network's last layer gives, where FeatureFiles would be. The
    videos share one tensor: 200 long ones would not fit everywhere."""

    def __init__(self, lengths: list[int], feature_dim: int):
        self.lengths = lengths
        generator = torch.Generator().manual_seed(0)
        pool = torch.rand(2 * max(lengths), feature_dim, generator=generator).square_()
        starts = torch.randint(max(lengths) + 1, (len(lengths),), generator=generator).tolist()
        self._videos = [pool[s : s + n] for s, n in zip(starts, lengths, strict=True)]

    def __getitem__(self, i: int) -> torch.Tensor:
        return self._videos[i]

    def select(self, videos: list[int]) -> RandomFeatures:
        chosen = copy.copy(self)
        chosen.lengths = [self.lengths[i] for i in videos]
        chosen._videos = [self._videos[i] for i in videos]
        return chosen


class RandomVideos(VideoSubset):
    """Videos of one or two classes, that are on no disk."""

    def __init__(self, lengths: list[int], feature_dim: int):
        names = [f"video {i}" for i in range(len(lengths))]
        classes = [f"class {c}" for c in range(CLASSES)]
        self.info = DatasetInfo(
            root=Path(),
            name="random",
            snippet_seconds=0.64,
            snippets=None,
            feature_dim=feature_dim,
            training_subset="training",
            testing_subset="testing",
            classes=classes,
        )
        self.names = names
        self.annotations = dict.fromkeys(names)
        self.features = RandomFeatures(lengths, feature_dim)
        self.snippet_seconds = [0.64] * len(names)
        self.workers = 0
        self.pinned = False
        self.labels = torch.zeros(len(names), CLASSES)
        for i, row in enumerate(self.labels):
            row[i % CLASSES] = 1.0
            if i % 3 == 0:
                row[(i + 7) % CLASSES] = 1.0


def training_step(
    feature_dim: int, device: torch.device, *overrides: str, preset: str = "thumos14"
) -> TrainingStep:
    torch.manual_seed(0)
    config = load_config(preset, list(overrides))
    model = SnippetModel(feature_dim, CLASSES, config.model).to(device).train()
    if config.data.standardize:  # by what squares of uniform numbers have
        mean = torch.full((feature_dim,), 1.0 / 3.0, device=device)
        model.standardize(mean, torch.full_like(mean, 0.298))
    memory = ClassMemory(CLASSES, config.memory.size, model.mu.shape[1], device)
    return TrainingStep(model, make_optimizer(model, config, epoch_of(config)), memory, config)


def epoch_of(config: Config) -> int:
    """An epoch of the schedule with every term of the loss."""
    return min(EPOCH, config.schedule.epochs)


def spread_lengths(shortest: int, longest: int, count: int) -> list[int]:
    """Evenly spread in the logarithm, in random order: as lengths of untrimmed videos are."""
    share = torch.randperm(count, generator=torch.Generator().manual_seed(1)) / max(1, count - 1)
    return (shortest * (longest / shortest) ** share).round().long().tolist()
