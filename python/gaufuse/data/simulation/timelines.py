"""Videos drawn from a table of real annotations: when which action happens, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from gaufuse.data.simulation.tables import LEVELS, QUANTITIES, TimelineTable
from gaufuse_ext.array_types import Floats, Integers

ATTEMPTS = 200


@dataclass(frozen=True)
class Timeline:
    """When which action happens in one video."""

    duration: float  # seconds
    starts: Floats  # (N,) seconds, rising; instances do not overlap
    ends: Floats  # (N,)
    classes: Integers  # (N,)


class TimelineSampler:
    """Draws videos of so many classes. How long a class's instances are is a trait of the class."""

    def __init__(
        self, table: TimelineTable, classes: int, longest: float, rng: np.random.Generator
    ):
        self.table = table
        self.longest = longest
        # Evenly over the normal distribution, so that few classes spread as many do.
        spread = [NormalDist().inv_cdf((c + 0.5) / classes) for c in range(classes)]
        self.class_scores = rng.permutation(spread)
        self.root = np.linalg.cholesky(np.array(table.correlations))

    def labels_of_videos(self, videos: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """One or two labels a video; classes as frequent as in the table, in a random order."""
        classes = len(self.class_scores)
        middles = (np.arange(classes) + 0.5) / classes
        frequency = np.interp(middles, LEVELS, self.table.class_videos)
        frequency = rng.permutation(frequency / frequency.sum())
        # So many of each class that the shares are met as closely as whole videos can.
        bounds = np.round(np.cumsum(frequency) * videos).astype(int)
        first = np.searchsorted(bounds, np.arange(videos), side="right")
        second = np.array([partner(c, classes) for c in range(classes)])
        both = rng.random(videos) < self.table.two_labels
        labels = [
            (int(c), int(second[c])) if two and second[c] != c else (int(c),)
            for c, two in zip(first, both, strict=True)
        ]
        return [labels[i] for i in rng.permutation(videos)]

    def draw(self, labels: tuple[int, ...], rng: np.random.Generator) -> Timeline:
        """A video that shows each of its labels at least once.

        Raises:
            ValueError: where no video drawn is short enough.
        """
        for _ in range(ATTEMPTS):
            timeline = self._attempt(labels, rng)
            if timeline.duration <= self.longest:
                return timeline
        raise ValueError(
            f"longest_seconds = {self.longest:g} is too short for the videos of {self.table.source}"
            f", whose median is {self.table.summary['video_seconds'][len(LEVELS) // 2]:g} s: "
            "set it higher"
        )

    def _attempt(self, labels: tuple[int, ...], rng: np.random.Generator) -> Timeline:
        table = self.table
        # QUANTITIES begins with the length, so the others follow from the class's, too.
        own = rng.standard_normal(len(QUANTITIES))
        own[0] = _mixed(self.class_scores[labels[0]], own[0], table.length_by_class)
        video = dict(zip(QUANTITIES, self.root @ own, strict=True))
        count = max(len(labels), round(float(table.value("count", video["count"]))))
        scores = _mixed(video["length"], rng.standard_normal(count), table.length_by_video)
        lengths = table.value("length", scores)
        scores = _mixed(video["gap"], rng.standard_normal(count), table.gap_by_video)
        gaps = table.value("gap", scores)
        lead, tail = (float(table.value(name, video[name])) for name in ("lead", "tail"))
        gaps[0] = lead
        ends = np.cumsum(gaps + lengths)
        classes = rng.choice(labels, count)
        classes[rng.permutation(count)[: len(labels)]] = labels
        return Timeline(float(ends[-1]) + tail, ends - lengths, ends, classes)


def partner(label: int, classes: int) -> int:
    """The class that is easily taken for this one; the last of an odd number has none (itself)."""
    other = label ^ 1
    return other if other < classes else label


def _mixed(common: Floats, own: Floats, share: float) -> Floats:
    """Standard normal numbers that have a share of their variance in common."""
    mixed: Floats = np.sqrt(share) * common + np.sqrt(1.0 - share) * own
    return mixed
