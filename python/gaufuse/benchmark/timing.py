"""Times of calls and the bandwidth of a copy."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

SAMPLE_SECONDS = 1e-3  # shorter calls are timed several at a time: the clock's own cost vanishes
FEWEST, MOST = 3, 200  # samples
LONG_SECONDS = 2.0  # one sample is enough of a call that takes longer
FLUSH_BYTES = 1 << 30  # beyond any cache


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, from several samples."""

    seconds: float  # median of one call
    fastest: float
    samples: int


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """torch, and so the kernels, have so many CPU threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class CpuTimer:
    """Wall clock. Whatever fits into the caches is warm: calls follow each other on one input."""

    device = torch.device("cpu")

    def once(self, call: Callable[[], object]) -> float:
        """Seconds of a single call, without a warm-up."""
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    def measure(self, call: Callable[[], object], seconds: float) -> Timing:
        """The median over at least `seconds`, after a warm-up."""
        first = self.once(call)
        if first < SAMPLE_SECONDS:  # the first call alone pays for allocations and page faults
            first = min(self.once(call) for _ in range(3))
        calls = max(1, round(SAMPLE_SECONDS / max(first, 1e-7)))
        samples: list[float] = []
        fewest = 1 if first > LONG_SECONDS else FEWEST
        while len(samples) < fewest or (sum(samples) * calls < seconds and len(samples) < MOST):
            started = time.perf_counter()
            for _ in range(calls):
                call()
            samples.append((time.perf_counter() - started) / calls)
        return _summary(samples)


class CudaTimer:
    """Events around each call; the host waits at the end of the series only.

    A large buffer is overwritten before every call. That empties the L2 cache of the input, and
    it keeps the device busy while the host prepares the launch, so the host's share counts only
    where a call launches more than that time hides (or waits for the device itself).
    """

    def __init__(self, device: torch.device):
        self.device = device
        total = torch.cuda.get_device_properties(device).total_memory
        self._flush = torch.empty(min(FLUSH_BYTES, total // 16), dtype=torch.uint8, device=device)

    def once(self, call: Callable[[], object]) -> float:
        """Seconds of a single call on the device, without a warm-up; waits for it."""
        return self._samples(call, 1)[0]

    def measure(self, call: Callable[[], object], seconds: float) -> Timing:
        """The median over about `seconds` of the device's time, after two calls to warm up."""
        self.once(call)  # loads the kernels, fills the allocator
        first = self.once(call)
        count = 1 if first > LONG_SECONDS else round(seconds / max(first, 1e-6))
        fewest = 1 if first > LONG_SECONDS else FEWEST
        return _summary(self._samples(call, min(MOST, max(fewest, count))))

    def _samples(self, call: Callable[[], object], count: int) -> list[float]:
        starts, ends = (
            [torch.cuda.Event(enable_timing=True) for _ in range(count)] for _ in range(2)
        )
        with torch.cuda.device(self.device):
            torch.cuda.synchronize()
            for start, end in zip(starts, ends, strict=True):
                self._flush.zero_()
                start.record()
                call()
                end.record()
            torch.cuda.synchronize()
        return [start.elapsed_time(end) / 1e3 for start, end in zip(starts, ends, strict=True)]


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that a call takes on a CUDA device beside what is there already; outputs count."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def copy_bandwidth(timer: CpuTimer | CudaTimer, seconds: float, size: int) -> float:
    """Bytes a second of a copy_ of `size` bytes, counting what it reads and what it writes."""
    source = torch.zeros(size, dtype=torch.uint8, device=timer.device)
    target = torch.zeros_like(source)
    return 2 * size / timer.measure(lambda: target.copy_(source), seconds).seconds


def fill_bandwidth(timer: CpuTimer | CudaTimer, seconds: float, size: int) -> float:
    """Bytes a second written into a new tensor of `size` bytes.

    On the CPU the system has to provide the pages of a large new tensor, each filled with zeros
    first, which takes far longer than writing them; every operation with a large output pays that.
    """

    def call() -> torch.Tensor:
        return torch.empty(size, dtype=torch.uint8, device=timer.device).fill_(1)

    return size / timer.measure(call, seconds).seconds


def _summary(samples: list[float]) -> Timing:
    return Timing(statistics.median(samples), min(samples), len(samples))
