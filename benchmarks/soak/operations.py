"""Operations called from many threads, with inputs of random sizes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch

import gaufuse_ext as gx

THREADS = 8
REPEATED = 0.1  # share of calls that are made twice and must agree

Tensors = list[torch.Tensor]
Random = np.random.Generator


def activations(rng: Random) -> torch.Tensor:
    """(G, T)"""
    groups, length = int(rng.integers(1, 9)), int(rng.integers(1, 1500))
    steps = rng.normal(size=(groups, length)).cumsum(axis=1) / 8.0
    return torch.from_numpy(1.0 / (1.0 + np.exp(-steps))).float()


def scored_segments(rng: Random, most: int, length: float) -> tuple[torch.Tensor, ...]:
    """(G, N, 2), (G, N), (G,)"""
    groups, count = int(rng.integers(1, 9)), int(rng.integers(1, most))
    starts = rng.uniform(0.0, length - 2.0, (groups, count))
    lengths = np.minimum(2.0 + rng.exponential(12.0, (groups, count)), length - starts)
    segments = np.stack([starts, starts + lengths], axis=-1)
    scores = rng.random((groups, count))
    counts = rng.integers(0, count + 1, groups)
    return torch.from_numpy(segments), torch.from_numpy(scores), torch.from_numpy(counts)


def proposals(rng: Random) -> Callable[[], Tensors]:
    cas = activations(rng)
    thresholds = gx.threshold_range(0.05, 0.05, 0.95)
    return lambda: list(gx.threshold_proposals(cas, thresholds))


def fuse(rng: Random) -> Callable[[], Tensors]:
    segments, scores, counts = scored_segments(rng, 400, 1000.0)
    return lambda: list(gx.fuse_segments(segments, scores, counts=counts))


def small_labels(rng: Random) -> Callable[[], Tensors]:
    return _labels(rng, 8, "native")


def path_labels(rng: Random) -> Callable[[], Tensors]:
    """Components of more than 64 instances, which the solver of paths takes."""
    return _labels(rng, 150, "native")


def highs_labels(rng: Random) -> Callable[[], Tensors]:
    return _labels(rng, 6, "highs")


def _labels(rng: Random, most: int, backend: str) -> Callable[[], Tensors]:
    segments, scores, counts = scored_segments(rng, most, 300.0)

    def call() -> Tensors:
        found = gx.linpro_labels(segments, scores, 300, counts, backend=backend)
        return [found.labels, found.objective, found.residual]

    return call


def membership(rng: Random) -> Callable[[], Tensors]:
    segments, _, counts = scored_segments(rng, 60, 500.0)
    return lambda: [gx.interval_membership(segments, 500, counts)]


def suppress(rng: Random) -> Callable[[], Tensors]:
    segments, scores, counts = scored_segments(rng, 400, 1000.0)
    return lambda: list(gx.soft_nms(segments, scores, counts))


def evaluate(rng: Random) -> Callable[[], Tensors]:
    def flat(count: int, scored: bool) -> gx.FlatSegments:
        starts = rng.uniform(0.0, 100.0, count)
        return gx.FlatSegments(
            np.stack([starts, starts + rng.uniform(1.0, 20.0, count)], axis=1),
            rng.integers(0, 20, count),
            rng.integers(0, 5, count),
            rng.random(count) if scored else None,
            [f"video {i}" for i in range(20)],
            [f"class {i}" for i in range(5)],
        )

    truth = flat(int(rng.integers(1, 100)), False)
    found = flat(int(rng.integers(1, 3000)), True)
    return lambda: [torch.from_numpy(gx.detection_map(found, truth).per_class)]


OPERATIONS: dict[str, Callable[[Random], Callable[[], Tensors]]] = {
    "threshold_proposals": proposals,
    "fuse_segments": fuse,
    "linpro_labels, small": small_labels,
    "linpro_labels, path": path_labels,
    "linpro_labels, highs": highs_labels,
    "interval_membership": membership,
    "soft_nms": suppress,
    "detection_map": evaluate,
}


def call_until(end: float) -> dict[str, int]:
    """From THREADS threads until `time.monotonic()` says `end`; how often each was called.

    Raises:
        RuntimeError: a call failed, or gave other bits when it was repeated.
    """
    counts: Counter[str] = Counter()
    problems: list[str] = []
    lock = threading.Lock()

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        names = list(OPERATIONS)
        while time.monotonic() < end and not problems:
            name = names[rng.integers(len(names))]
            try:
                call = OPERATIONS[name](rng)
                found = call()
                if rng.random() < REPEATED and not all(
                    torch.equal(one.nan_to_num(), other.nan_to_num())
                    for one, other in zip(found, call(), strict=True)
                ):
                    problems.append(f"{name}: a repeated call gave other bits")
            except Exception as error:  # of any kind: it is told below, and all end
                problems.append(f"{name}: {type(error).__name__}: {error}")
            with lock:
                counts[name] += 1

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise RuntimeError("; ".join(problems))
    return {name: counts[name] for name in OPERATIONS}
