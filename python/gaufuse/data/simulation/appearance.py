"""The features of a timeline: what a frozen video network might see of it, snippet by snippet.

What makes weak supervision hard is in it, as settings (`realistic.py`):
- an instance runs through some of its class's phases in order, so no one snippet is the action;
- it shows itself in bursts, and each instance looks a little different;
- some classes come in pairs that share most of what they look like;
- snippets around an action, and elsewhere in its video, show its class's context (the pool,
  without the dive), which video labels cannot tell from the action;
- features average over more than a snippet, so boundaries blend; they fall anywhere in a snippet;
- every video has an offset of its own, noise is correlated in time and comes in heavier tails than
  a Gaussian's, and dimensions are rectified like a network's, some sparse, some not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gaufuse.data.simulation.timelines import Timeline, partner
from gaufuse_ext.array_types import Array, Floats, Integers

if TYPE_CHECKING:
    from gaufuse.data.simulation.realistic import RealisticSettings

STEPS = 8  # a snippet is drawn in so many steps, which its features average


class Appearance:
    """Directions in feature space, the same for all videos of a data set."""

    def __init__(self, settings: RealisticSettings, rng: np.random.Generator):
        self.settings = settings
        classes, phases, dims = settings.classes, settings.phases[1], settings.feature_dim
        own = _unit(rng, classes, dims)
        pairs = _unit(rng, classes, dims)
        pairs = np.stack([pairs[min(c, partner(c, classes))] for c in range(classes)])
        common = _mix(own, pairs, settings.pair_share)[:, None]
        # (C * P, D): a class's phases share a part, too.
        self.phases = _mix(_unit(rng, classes, phases, dims), common, settings.phase_share)
        self.contexts = _unit(rng, classes, dims)
        # How plainly each phase shows: of a golf swing, the swing more than the stance.
        self.phase_strength = rng.uniform(*settings.phase_strength, size=(classes, phases))
        self.phase_strength[np.arange(classes), rng.integers(phases, size=classes)] = 1.0
        self.bias = settings.bias * rng.standard_normal(dims) / math.sqrt(dims)

    def features(self, timeline: Timeline, rng: np.random.Generator) -> Array:
        """(T, D) float16, not negative; T snippets that cover the timeline's duration. What is too
        large for float16 is infinite."""
        settings = self.settings
        total = max(1, math.ceil(timeline.duration / settings.snippet_seconds - 1e-6))
        with np.errstate(over="ignore", invalid="ignore"):
            return self._respond(self._signal(timeline, total, rng), total, rng)

    def _respond(self, signal: Floats, total: int, rng: np.random.Generator) -> Array:
        """(T, D) float16: what the network answers to a signal (T, D)."""
        settings = self.settings
        scene = rng.standard_normal(settings.feature_dim) / math.sqrt(settings.feature_dim)
        noise = correlated_noise(rng, total, settings.feature_dim, settings.noise_correlation)
        # Of mean one in the square, so that the tail does not change how much noise there is.
        tail = np.exp(
            settings.noise_tail * rng.standard_normal((total, 1)) - settings.noise_tail**2
        )
        response = signal + settings.scene * scene + settings.noise * tail * noise + self.bias
        features: Array = (np.maximum(response, 0.0) ** settings.power).astype(np.float16)
        return features

    def _signal(self, timeline: Timeline, total: int, rng: np.random.Generator) -> Floats:
        """(T, D) what the actions and their contexts add."""
        settings = self.settings
        shown = np.zeros((total * STEPS, self.phases.shape[0] * self.phases.shape[1]))
        context = np.zeros((total * STEPS, len(self.contexts)))
        each = np.zeros((total * STEPS, settings.feature_dim))
        per_second = STEPS / settings.snippet_seconds
        firsts = np.floor(timeline.starts * per_second).astype(int)
        lasts = np.maximum(np.ceil(timeline.ends * per_second).astype(int), firsts + 1)
        lasts = np.minimum(lasts, total * STEPS)
        for first, last, label in zip(firsts, lasts, timeline.classes, strict=True):
            strength = self._bursts(last - first, rng) * np.exp(
                settings.instance_gain * rng.standard_normal()
            )
            phases = label * self.phases.shape[1] + self._phases(last - first, rng)
            plain = self.phase_strength.reshape(-1)[phases]
            shown[np.arange(first, last), phases] = strength * plain
            look = rng.standard_normal(settings.feature_dim) / math.sqrt(settings.feature_dim)
            each[first:last] += settings.instance_look * look
        self._add_contexts(context, firsts, lasts, timeline.classes, per_second, rng)
        shown, context, each = (
            _average(signal, total, settings.blend_snippets) for signal in (shown, context, each)
        )
        signal: Floats = (
            shown @ self.phases.reshape(-1, settings.feature_dim)
            + settings.context * (context @ self.contexts)
            + each
        )
        return signal

    def _phases(self, steps: int, rng: np.random.Generator) -> Integers:
        """(steps,) which of its class's phases an instance shows: some of them, in order."""
        fewest, most = self.settings.phases
        count = int(rng.integers(fewest, most, endpoint=True))
        chosen = np.sort(rng.choice(most, count, replace=False))
        bounds = np.cumsum(rng.dirichlet(np.full(count, 3.0)))[:-1]
        return chosen[np.searchsorted(bounds, (np.arange(steps) + 0.5) / steps)]

    def _bursts(self, steps: int, rng: np.random.Generator) -> Floats:
        """(steps,) how strongly an instance shows its action: in bursts, weakly in between."""
        settings = self.settings
        strength = np.full(steps, settings.weak_action)
        salient = max(1, round(steps * rng.uniform(*settings.salient)))
        shortest, longest = (STEPS * bound for bound in settings.burst_snippets)
        while (strength == 1.0).sum() < salient:
            start = int(rng.integers(steps))
            strength[start : start + max(1, round(rng.uniform(shortest, longest)))] = 1.0
        return strength

    def _add_contexts(
        self,
        context: Floats,
        firsts: Integers,
        lasts: Integers,
        labels: Integers,
        per_second: float,
        rng: np.random.Generator,
    ) -> None:
        """Sets (steps, C) to one where a class's context is seen: at actions, and by itself."""
        settings = self.settings

        def steps(count: int) -> Integers:
            drawn = rng.uniform(*settings.context_seconds, size=count)
            return np.round(drawn * per_second).astype(int)

        count = len(firsts)
        stretches = zip(firsts - steps(count), lasts + steps(count), labels, strict=True)
        for first, last, label in stretches:
            context[max(first, 0) : last, label] = 1.0
        stray = rng.poisson(settings.stray_contexts * count)
        for length, label in zip(2 * steps(stray), rng.choice(labels, stray), strict=True):
            first = int(rng.integers(len(context)))
            context[first : first + length, label] = 1.0


def correlated_noise(rng: np.random.Generator, total: int, dims: int, correlation: float) -> Floats:
    """(T, D) first-order autoregressive noise; each snippet's has an expected norm of one."""
    white = rng.standard_normal((total, dims)) / np.sqrt(dims)
    noise: Floats = np.empty_like(white)
    noise[0] = white[0]
    for t in range(1, total):
        noise[t] = correlation * noise[t - 1] + np.sqrt(1.0 - correlation**2) * white[t]
    return noise


def _unit(rng: np.random.Generator, *shape: int) -> Floats:
    """Random directions (..., D)."""
    directions = rng.standard_normal(shape)
    unit: Floats = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return unit


def _mix(own: Floats, common: Floats, share: float) -> Floats:
    """Directions of which `share` is the common one's (as the square of a cosine, about)."""
    mixed = math.sqrt(1.0 - share) * own + math.sqrt(share) * common
    unit: Floats = mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)
    return unit


def _average(signal: Floats, total: int, width: float) -> Floats:
    """(T, N) means of (T * STEPS, N) over `width` snippets around each snippet's middle."""
    half = max(1, round(width * STEPS / 2.0))
    sums = np.concatenate([np.zeros((1, signal.shape[1])), np.cumsum(signal, axis=0)])
    middles = STEPS * np.arange(total) + STEPS // 2
    upper, lower = np.minimum(middles + half, len(signal)), np.maximum(middles - half, 0)
    means: Floats = (sums[upper] - sums[lower]) / (upper - lower)[:, None]
    return means
