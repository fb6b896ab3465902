"""What is known of a real data set's annotations: quantiles, correlations, shares.

Everything is Gaussian in normal scores: a quantity's table maps a standard normal number to seconds
(or to a count), so that correlations of normal numbers are those of ranks, whatever the quantity's
own distribution. `benchmarks/simulator_statistics.py` derives the tables from annotations.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from statistics import NormalDist

import numpy as np

from gaufuse_ext.array_types import Floats

LEVELS = (0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99)
LEVEL_SCORES = np.array([NormalDist().inv_cdf(level) for level in LEVELS])

# In this order in `correlations`. Seconds, but for the count.
QUANTITIES = ("length", "count", "gap", "lead", "tail")


@dataclass(frozen=True)
class TimelineTable:
    """Quantiles are at LEVELS. Each video weighs the same, however many instances it has."""

    source: str
    quantiles: dict[str, list[float]]  # of QUANTITIES; lead and tail: before and after all actions
    # Between videos: of the count, the lead, the tail, a video's own length and gap.
    correlations: list[list[float]]
    length_by_video: float  # share of the lengths' variance (in normal scores) that is the video's
    length_by_class: float  # ... of the videos' variance that is their class's
    gap_by_video: float
    two_labels: float  # share of videos
    class_videos: list[float]  # quantiles of a class's number of videos, relative to the mean one
    # What a timeline comes to, to compare: pooled over the instances of all videos, and per video.
    summary: dict[str, list[float]]

    def value(self, quantity: str, score: Floats) -> Floats:
        """Seconds (or a count, to be rounded) of standard normal numbers."""
        values: Floats = np.interp(score, LEVEL_SCORES, self.quantiles[quantity])
        return values

    def to_toml(self) -> str:
        """A line a list, which tomli_w would spread over as many lines as it has numbers."""
        plain, tables = [], []
        for key, value in asdict(self).items():
            if isinstance(value, dict):
                tables.append(f"\n[{key}]")
                tables += [f"{name} = {json.dumps(row)}" for name, row in value.items()]
            elif key == "correlations":
                plain += [f"{key} = [", *(f"  {json.dumps(row)}," for row in value), "]"]
            else:
                plain.append(f"{key} = {json.dumps(value)}")
        return "\n".join([*plain, *tables, ""])


@cache
def load_table(name: str) -> TimelineTable:
    """One that comes with the package: thumos14, activitynet13."""
    text = resources.files("gaufuse.data.simulation").joinpath(f"{name}.toml").read_text()
    return TimelineTable(**tomllib.loads(text))
