"""Means, spreads and intervals of a few runs. NumPy alone: scipy is for the tests.

All intervals are two-sided, of 95 %. "t": Student's t interval of the mean of differences, which
takes them to be about normal; "bootstrap": percentiles of the means of 10,000 resamples, which
does not, and is too narrow for fewer than about ten values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000
METHODS = ("t", "bootstrap")
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval; None where fewer than two values say nothing of the spread."""

    mean: float
    low: float | None
    high: float | None
    values: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies above or below zero, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0.0) - int(self.high < 0.0)


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n - 1)."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def estimate(values: Sequence[float], method: str = "t") -> Estimate:
    """Mean of a sample with its interval."""
    return estimate_of_groups([values], method)


def estimate_of_groups(groups: Sequence[Sequence[float]], method: str = "t") -> Estimate:
    """Mean of the groups' means with its interval: what holds on average over just these groups
    (data sets), each of which was sampled by its own values.

    "t" is Welch's: each group has a variance of its own, degrees of freedom after Satterthwaite.
    """
    samples = [np.asarray(group, dtype=np.float64) for group in groups]
    if not samples or not all(map(len, samples)):
        raise ValueError("an estimate needs at least one value in every group")
    mean = float(np.mean([sample.mean() for sample in samples]))
    count = sum(map(len, samples))
    if min(map(len, samples)) < 2:
        return Estimate(mean, None, None, count)
    if method == "bootstrap":
        low, high = _bootstrap(samples)
    elif method == "t":
        half = _half_width(samples)
        low, high = mean - half, mean + half
    else:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    return Estimate(mean, low, high, count)


def _half_width(samples: list[np.ndarray]) -> float:
    variances = np.array([sample.var(ddof=1) / len(sample) for sample in samples])
    total = variances.sum()
    if total == 0.0:
        return 0.0
    freedoms = np.array([len(sample) - 1 for sample in samples])
    # As shares of the total: squares of tiny variances would underflow.
    freedom = 1.0 / float(((variances / total) ** 2 / freedoms).sum())
    return t_quantile(0.5 + LEVEL / 2, freedom) * math.sqrt(total) / len(samples)


def _bootstrap(samples: list[np.ndarray]) -> tuple[float, float]:
    rng = np.random.default_rng(0)  # the same values give the same interval
    means = np.mean(
        [
            sample[rng.integers(len(sample), size=(RESAMPLES, len(sample)))].mean(1)
            for sample in samples
        ],
        axis=0,
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t distribution, for a probability in [0.5, 1) and freedom >= 1.

    With t = sqrt(n) tan(a), P(|T| < t) is the integral of cos(a)^(n - 1) from 0 to a over that to
    pi / 2; a is found by bisection.
    """
    if not 0.5 <= probability < 1.0 or freedom < 1.0:
        raise ValueError(f"no t quantile for probability {probability}, freedom {freedom}")
    log_whole = (
        math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2) + math.log(math.pi) / 2
    ) - math.log(2.0)
    whole = math.exp(log_whole)
    wanted = 2.0 * probability - 1.0
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        angles = middle / 2 * (_NODES + 1.0)
        inside = middle / 2 * float(_WEIGHTS @ np.cos(angles) ** (freedom - 1.0)) / whole
        low, high = (middle, high) if inside < wanted else (low, middle)
    return math.sqrt(freedom) * math.tan(low)
