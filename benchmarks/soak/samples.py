"""What a process holds over time, and whether it grows."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WARM_UP = 0.25  # of the time: until buffers, caches and pools have the sizes that they keep
CHANCE = 1  # files or threads: they come and go, and a median may fall on either side
MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    seconds: float  # since the start
    memory: int  # resident bytes
    files: int  # open file descriptors
    threads: int


def take_sample(seconds: float) -> Sample:
    """Of this process, from Linux."""
    own = Path("/proc/self")
    pages = int((own / "statm").read_text().split()[1])
    return Sample(
        seconds,
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir(own / "fd")),
        len(os.listdir(own / "task")),
    )


@contextmanager
def sampling(every: float) -> Iterator[list[Sample]]:
    """A list that fills with a sample every so many seconds meanwhile."""
    samples: list[Sample] = []
    ended = threading.Event()
    start = time.monotonic()

    def watch() -> None:
        while not ended.wait(every):
            samples.append(take_sample(time.monotonic() - start))

    thread = threading.Thread(target=watch, name="sampling", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True)
class Growth:
    """After the warm-up."""

    slope: float  # of memory, MiB an hour: the median slope of all pairs of samples (Theil-Sen)
    files: int  # by how much the median number grew from the first half of the time to the second
    threads: int  # likewise

    def problems(self, most: float) -> list[str]:
        """What grew; `most`: the steepest slope of memory that passes, MiB an hour."""
        found = []
        if self.slope > most:
            found.append(f"memory grows by {self.slope:.1f} MiB an hour, more than {most:g}")
        if self.files > CHANCE:
            found.append(f"{self.files} more files are open in the second half")
        if self.threads > CHANCE:
            found.append(f"{self.threads} more threads are there in the second half")
        return found


def after_warm_up(samples: list[Sample]) -> list[Sample]:
    return samples[round(WARM_UP * len(samples)) :]


def growth_of(samples: list[Sample]) -> Growth:
    """Of all samples of a run.

    Files and threads come and go with the work; what leaks moves their median. (Not their least
    number: whether a sample falls between two runs is chance.)

    Raises:
        ValueError: too few samples to tell.
    """
    kept = after_warm_up(samples)
    if len(kept) < 8:
        raise ValueError(f"{len(samples)} samples are too few to tell: take more minutes")
    times = np.array([sample.seconds for sample in kept]) / 3600.0
    memory = np.array([sample.memory for sample in kept]) / MIB
    first, second = np.triu_indices(len(kept), 1)
    slope = np.median((memory[second] - memory[first]) / (times[second] - times[first]))
    half = len(kept) // 2

    def grown(name: str) -> int:
        numbers = [getattr(sample, name) for sample in kept]
        return round(float(np.median(numbers[half:]) - np.median(numbers[:half])))

    return Growth(float(slope), grown("files"), grown("threads"))
