"""The built-in simulated data set: untrimmed videos as snippet features, made from a seed.

What makes weak supervision hard is in it, as parameters:
- context: snippets around an action, and elsewhere in videos of its class, show the class's
  context (the pool, without the dive), which video labels cannot tell from the action;
- saliency: an action shows itself in bursts, so that a classifier finds only fragments of it;
- scene: every video has an offset of its own that has nothing to do with its classes;
- noise that is correlated in time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tomli_w

from gaufuse.files import ensure_writable_folder, write_atomically, write_json, write_text


@dataclass(frozen=True)
class SimulationSettings:
    classes: int = 6
    feature_dim: int = 64
    training_videos: int = 90
    testing_videos: int = 60
    snippets: tuple[int, int] = (80, 200)  # per video
    snippet_seconds: float = 0.64
    second_class: float = 0.15  # probability that a video shows a second class
    instances: tuple[int, int] = (2, 6)  # per class of a video
    instance_snippets: tuple[int, int] = (6, 24)
    salient: tuple[float, float] = (0.25, 0.45)  # share of an instance that shows it strongly
    burst_snippets: tuple[int, int] = (1, 3)  # which comes in bursts of so many snippets
    weak_action: float = 0.2  # strength of the rest
    context: float = 0.7  # strength of the context around an action
    context_snippets: tuple[int, int] = (2, 8)  # on each side
    stray_contexts: tuple[int, int] = (1, 4)  # stretches of context without an action, per video
    scene: float = 0.5
    noise: float = 0.8
    noise_correlation: float = 0.4  # from snippet to snippet


@dataclass(frozen=True)
class _World:
    """Unit directions in feature space."""

    actions: np.ndarray  # (C, D)
    contexts: np.ndarray  # (C, D)


def simulate(root: str | Path, seed: int = 0, settings: SimulationSettings | None = None) -> None:
    """Writes the data set to a folder: dataset.toml, train.toml, annotations.json, features/.

    The same seed and settings give the same files. An existing data set there is replaced.
    """
    settings = settings or SimulationSettings()
    root = ensure_writable_folder(root)
    features = ensure_writable_folder(root / "features")
    rng = np.random.default_rng(seed)
    world = _make_world(rng, settings)
    classes = [f"action_{c}" for c in range(settings.classes)]
    database = {}
    for subset, count in (
        ("training", settings.training_videos),
        ("testing", settings.testing_videos),
    ):
        for i in range(count):
            name = f"{subset}_{i:04d}"
            video, annotations = _make_video(rng, i % settings.classes, world, settings)
            write_atomically(
                features / f"{name}.npy", lambda file, video=video: np.save(file, video)
            )
            database[name] = {
                "subset": subset,
                "duration": round(len(video) * settings.snippet_seconds, 3),
                "annotations": [
                    {
                        "segment": [round(t * settings.snippet_seconds, 3) for t in (start, end)],
                        "label": classes[label],
                    }
                    for start, end, label in annotations
                ],
            }
    write_json(root / "annotations.json", {"version": "simulated", "database": database})
    info = {
        "name": f"simulated, seed {seed}",
        "snippet_seconds": settings.snippet_seconds,
        "feature_dim": settings.feature_dim,
        "training_subset": "training",
        "testing_subset": "testing",
        "classes": classes,
        "simulation": {"seed": seed, **asdict(settings)},
    }
    write_text(root / "train.toml", tomli_w.dumps({"base": "simulated", "data": {"root": "."}}))
    write_text(root / "dataset.toml", tomli_w.dumps(info))


def _make_world(rng: np.random.Generator, settings: SimulationSettings) -> _World:
    directions = rng.standard_normal((2 * settings.classes, settings.feature_dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return _World(directions[: settings.classes], directions[settings.classes :])


def _make_video(
    rng: np.random.Generator, label: int, world: _World, settings: SimulationSettings
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
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
    if not annotations:  # too short for any: a video must show its label
        return _make_video(rng, label, world, settings)
    scene = rng.standard_normal(settings.feature_dim) / np.sqrt(settings.feature_dim)
    noise = _correlated_noise(rng, total, settings)
    features = np.maximum(signal + settings.scene * scene + settings.noise * noise, 0.0)
    return features.astype(np.float16), sorted(annotations)


def _strength(rng: np.random.Generator, length: int, settings: SimulationSettings) -> np.ndarray:
    """(length,) how strongly an instance shows its action: in bursts, weakly in between."""
    strength = np.full(length, settings.weak_action)
    salient = max(1, round(length * rng.uniform(*settings.salient)))
    while (strength == 1.0).sum() < salient:
        start = int(rng.integers(0, length))
        burst = int(rng.integers(*settings.burst_snippets, endpoint=True))
        strength[start : start + burst] = 1.0
    return strength


def _free_stretch(rng: np.random.Generator, free: np.ndarray, length: int) -> int | None:
    """A random start at which `length` snippets in a row are free."""
    if length > len(free):
        return None
    taken = np.concatenate([[0], np.cumsum(~free)])
    starts = np.flatnonzero(taken[length:] == taken[:-length])
    return int(rng.choice(starts)) if len(starts) else None


def _correlated_noise(
    rng: np.random.Generator, total: int, settings: SimulationSettings
) -> np.ndarray:
    """(T, D) first-order autoregressive noise; each snippet's has an expected norm of one."""
    rho = settings.noise_correlation
    white = rng.standard_normal((total, settings.feature_dim)) / np.sqrt(settings.feature_dim)
    noise = np.empty_like(white)
    noise[0] = white[0]
    for t in range(1, total):
        noise[t] = rho * noise[t - 1] + np.sqrt(1.0 - rho**2) * white[t]
    return noise
