"""The small data set: videos drawn uniformly, in whole snippets, for quick tests.

What makes weak supervision hard is in it, as parameters:
- context: snippets around an action, and elsewhere in videos of its class, show the class's
  context (the pool, without the dive), which video labels cannot tell from the action;
- saliency: an action shows itself in bursts, so that a classifier finds only fragments of it;
- scene: every video has an offset of its own that has nothing to do with its classes;
- noise that is correlated in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from gaufuse.data.simulation.appearance import correlated_noise
from gaufuse.data.simulation.settings import (
    Count,
    CountRange,
    NotNegative,
    Positive,
    Probability,
    ProbabilityRange,
    SimulatedVideo,
    WholeRange,
)
from gaufuse_ext.array_types import Array, Flags, Floats


@dataclass(frozen=True)
class SimulationSettings:
    """Settings of the profile "small"; counts are of snippets where nothing else is said."""

    classes: Count = 6
    feature_dim: Count = 64
    training_videos: Count = 90
    testing_videos: Count = 60
    snippets: CountRange = (80, 200)  # per video
    snippet_seconds: Positive = 0.64
    second_class: Probability = 0.15  # that a video shows a second class
    instances: CountRange = (2, 6)  # per class of a video
    instance_snippets: CountRange = (6, 24)
    salient: ProbabilityRange = (0.25, 0.45)  # share of an instance that shows it strongly
    burst_snippets: CountRange = (1, 3)  # which comes in bursts of so many snippets
    weak_action: Probability = 0.2  # strength of the rest
    context: NotNegative = 0.7  # strength of the context around an action
    context_snippets: WholeRange = (2, 8)  # on each side
    stray_contexts: WholeRange = (1, 4)  # stretches of context without an action, per video
    scene: NotNegative = 0.5
    noise: NotNegative = 0.8
    noise_correlation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.4  # from snippet to snippet

    @model_validator(mode="after")
    def _fits(self) -> Self:
        longest = self.instance_snippets[1] + 2 * self.context_snippets[1]
        if longest > self.snippets[0]:
            raise ValueError(
                f"instance_snippets and context_snippets take up to {longest} snippets, but the "
                f"shortest video has {self.snippets[0]}: raise snippets"
            )
        return self

    def make_videos(self, seed: int) -> Iterator[SimulatedVideo]:
        """Training videos, then test videos."""
        rng = np.random.default_rng(seed)
        world = _make_world(rng, self)
        for subset, count in (
            ("training", self.training_videos),
            ("testing", self.testing_videos),
        ):
            for i in range(count):
                features, annotations = _make_video(rng, i % self.classes, world, self)
                starts, ends, labels = np.array(annotations).T
                segments = np.stack([starts, ends], axis=1) * self.snippet_seconds
                yield SimulatedVideo(f"{subset}_{i:04d}", subset, features, segments, labels)


@plain_dataclass(frozen=True)
class _World:
    """Unit directions in feature space."""

    actions: Floats  # (C, D)
    contexts: Floats  # (C, D)


def _make_world(rng: np.random.Generator, settings: SimulationSettings) -> _World:
    directions = rng.standard_normal((2 * settings.classes, settings.feature_dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return _World(directions[: settings.classes], directions[settings.classes :])


def _make_video(
    rng: np.random.Generator, label: int, world: _World, settings: SimulationSettings
) -> tuple[Array, list[tuple[int, int, int]]]:
    """Features (T, D) float16 and annotations (start, end, class) in snippets."""
    total = int(rng.integers(*settings.snippets, endpoint=True))
    labels = [label]
    if rng.random() < settings.second_class:
        labels.append(int(rng.integers(settings.classes)))
    signal = np.zeros((total, settings.feature_dim))
    free = np.ones(total, dtype=bool)
    annotations = []
    for own in dict.fromkeys(labels):
        for _ in range(rng.integers(*settings.instances, endpoint=True)):
            length = int(rng.integers(*settings.instance_snippets, endpoint=True))
            before, after = rng.integers(*settings.context_snippets, endpoint=True, size=2)
            start = _free_stretch(rng, free, int(before) + length + int(after))
            if start is None:
                continue
            first, last = start + before, start + before + length
            free[start : last + after] = False
            signal[start : last + after] += settings.context * world.contexts[own]
            signal[first:last] += _strength(rng, length, settings)[:, None] * world.actions[own]
            annotations.append((int(first), int(last), own))
        for _ in range(rng.integers(*settings.stray_contexts, endpoint=True)):
            length = int(rng.integers(*settings.context_snippets, endpoint=True)) * 2
            start = _free_stretch(rng, free, length)
            if start is not None:
                free[start : start + length] = False
                signal[start : start + length] += settings.context * world.contexts[own]
    scene = rng.standard_normal(settings.feature_dim) / np.sqrt(settings.feature_dim)
    noise = correlated_noise(rng, total, settings.feature_dim, settings.noise_correlation)
    features = np.maximum(signal + settings.scene * scene + settings.noise * noise, 0.0)
    with np.errstate(over="ignore"):  # infinite where it is too large
        return features.astype(np.float16), sorted(annotations)


def _strength(rng: np.random.Generator, length: int, settings: SimulationSettings) -> Floats:
    """(length,) how strongly an instance shows its action: in bursts, weakly in between."""
    strength = np.full(length, settings.weak_action)
    salient = max(1, round(length * rng.uniform(*settings.salient)))
    while (strength == 1.0).sum() < salient:
        start = int(rng.integers(0, length))
        burst = int(rng.integers(*settings.burst_snippets, endpoint=True))
        strength[start : start + burst] = 1.0
    return strength


def _free_stretch(rng: np.random.Generator, free: Flags, length: int) -> int | None:
    """A random start at which `length` snippets in a row are free."""
    if length > len(free):
        return None
    taken = np.concatenate([[0], np.cumsum(~free)])
    starts = np.flatnonzero(taken[length:] == taken[:-length])
    return int(rng.choice(starts)) if len(starts) else None
