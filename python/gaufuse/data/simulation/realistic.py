"""Data sets whose timelines follow real annotations, with features that have real features' faults.

Scaled so that training takes about a minute on two cores: fewer videos, classes and dimensions than
the real set, and no video longer than `longest_seconds`. Seconds are real seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from gaufuse.data.simulation.appearance import Appearance
from gaufuse.data.simulation.settings import (
    Count,
    NotNegative,
    PhaseRange,
    Positive,
    Probability,
    ProbabilityRange,
    SecondsRange,
    SimulatedVideo,
    SnippetRange,
)
from gaufuse.data.simulation.tables import load_table
from gaufuse.data.simulation.timelines import Timeline, TimelineSampler
from gaufuse_ext.annotations import VideoAnnotation


@dataclass(frozen=True)
class RealisticSettings:
    """Settings of the profiles that are like a real data set (appearance.py, timelines.py)."""

    annotations: Literal["thumos14", "activitynet13"] = "thumos14"  # that timelines are drawn like
    classes: Count = 8
    feature_dim: Count = 64
    training_videos: Count = 80
    testing_videos: Count = 60
    longest_seconds: Positive = 600.0  # videos that come out longer are drawn again
    snippet_seconds: Annotated[float, Field(ge=0.01, le=60.0)] = 0.64
    # Sub-actions of an instance; a class has as many as the upper bound.
    phases: PhaseRange = (2, 4)
    phase_share: Probability = 0.5  # of a phase's direction that is its class's
    phase_strength: ProbabilityRange = (0.4, 1.0)  # the plainest phase of a class has 1
    pair_share: Probability = 0.4  # of a class's direction that it shares with its partner
    instance_gain: NotNegative = 0.2  # deviation of the logarithm of an instance's strength
    instance_look: NotNegative = 0.3  # strength of what only this instance looks like
    salient: ProbabilityRange = (0.5, 0.8)  # share of an instance that shows it strongly
    burst_snippets: SnippetRange = (1.0, 3.0)  # which comes in bursts of so many snippets
    weak_action: Probability = 0.5  # strength of the rest
    context: NotNegative = 0.5  # strength of the context around an action
    context_seconds: SecondsRange = (0.5, 3.0)  # on each side
    stray_contexts: Annotated[float, Field(ge=0.0, le=100.0)] = (
        0.3  # stretches of context an instance that have no action
    )
    blend_snippets: Annotated[float, Field(ge=1.0, le=16.0)] = 2.0  # that a snippet averages over
    scene: NotNegative = 0.5
    noise: NotNegative = 0.7
    noise_correlation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.4  # from snippet to snippet
    noise_tail: Annotated[float, Field(ge=0.0, le=2.0)] = 0.4  # deviation of a snippet's log noise
    bias: NotNegative = 0.5  # of dimensions, before they are rectified: how much sparser some are
    power: Annotated[float, Field(gt=0.0, le=4.0)] = 1.5  # of what is left

    def make_videos(self, seed: int) -> Iterator[SimulatedVideo]:
        """Training videos, then test videos."""
        appearance, videos = self._draw(seed)
        for name, subset, timeline, rng in videos:
            segments = np.stack([timeline.starts, timeline.ends], axis=1)
            features = appearance.features(timeline, rng)
            yield SimulatedVideo(name, subset, features, segments, timeline.classes)

    def annotations_only(self, seed: int) -> Iterator[VideoAnnotation]:
        """The annotations of the same videos, without the work of making features."""
        for _, subset, timeline, _ in self._draw(seed)[1]:
            yield VideoAnnotation(
                np.stack([timeline.starts, timeline.ends], axis=1),
                [str(label) for label in timeline.classes],
                np.ones(len(timeline.starts)),
                subset,
                timeline.duration,
            )

    def _draw(
        self, seed: int
    ) -> tuple[Appearance, Iterator[tuple[str, str, Timeline, np.random.Generator]]]:
        """What classes look like; and videos, each with random numbers of its own, so that how one
        looks does not change when the next one's actions happen."""
        world, *streams = np.random.SeedSequence(seed).spawn(
            1 + self.training_videos + self.testing_videos
        )
        rng = np.random.default_rng(world)
        table = load_table(self.annotations)
        source = TimelineSampler(table, self.classes, self.longest_seconds, rng)
        appearance = Appearance(self, rng)

        def videos() -> Iterator[tuple[str, str, Timeline, np.random.Generator]]:
            own = map(np.random.default_rng, streams)
            for subset, count in (
                ("training", self.training_videos),
                ("testing", self.testing_videos),
            ):
                for i, labels in enumerate(source.labels_of_videos(count, rng)):
                    numbers = next(own)
                    yield f"{subset}_{i:04d}", subset, source.draw(labels, numbers), numbers

        return appearance, videos()
