"""Training with several processes: who does what, and how results come together.

Started by torchrun, every process holds the whole data set's list, the same model, labels and
memory, and does its share of each step's videos, of each label refresh and of each evaluation. The
first process alone writes files.
"""

from __future__ import annotations

import io
import itertools
import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

Item = TypeVar("Item")

_LOST = r"gloo|nccl|connection|socket|broken pipe|timed? ?out"  # in messages of a lost process


@dataclass(frozen=True)
class Share:
    """What one process does of a step."""

    videos: list[int]  # never empty: a process without work repeats a video and does not count it
    counts: list[int]  # videos of the step by process; those of `videos` that count
    rank: int

    @property
    def count(self) -> int:
        """How many of this process's videos count: all, or none of a repeated one."""
        return self.counts[self.rank]

    @property
    def total(self) -> int:
        """Videos of the step, over all processes."""
        return sum(self.counts)


@dataclass(frozen=True)
class World:
    """The processes that train together; the only one by default."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This process's part: contiguous, so that parts in order of rank are the whole."""
        first, last = (len(items) * rank // self.size for rank in (self.rank, self.rank + 1))
        return list(items[first:last])

    def steps(self, videos: Sequence[int], batch_size: int) -> Iterator[Share]:
        """This process's share of each step of `batch_size` videos."""
        for start in range(0, len(videos), batch_size):
            batch = list(videos[start : start + batch_size])
            ends = [len(batch) * rank // self.size for rank in range(self.size + 1)]
            counts = [last - first for first, last in itertools.pairwise(ends)]
            yield Share(self.share(batch) or batch[:1], counts, self.rank)

    def gather(self, item: Item) -> list[Item]:
        """Everyone's item, by rank. Any object: our own processes trust each other. Tensors in it
        arrive on the CPU, wherever they were."""
        if self.size == 1:
            return [item]
        items: list[Any] = [None] * self.size
        dist.all_gather_object(items, _to_bytes(item))
        return [pickle.loads(data) for data in items]

    def gather_rows(self, rows: torch.Tensor, share: Share) -> torch.Tensor:
        """Rows (videos, ...) of the whole step, in order, from those of each share."""
        if self.size == 1:
            return rows
        most = max(share.counts)
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[: share.count] = rows[: share.count]
        parts = [torch.empty_like(padded) for _ in share.counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, share.counts, strict=True)])

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over processes, on every one."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def first_does(self, work: Callable[[], None]) -> None:
        """The first process does it, the others wait; if it fails, however it does, all fail.

        Raises:
            RuntimeError: on the other processes, with the first one's error.
        """
        error: Exception | None = None
        if self.is_first:
            try:
                work()
            except Exception as caught:  # whatever it is: the others wait for word of it
                error = caught
        message = self.gather(None if error is None else _said(error))[0]
        if error is not None:
            raise error
        if message is not None:
            raise RuntimeError(f"the first process failed: {message}")


def _said(error: Exception) -> str:
    """What the other processes report: the type tells of errors that nobody foresaw."""
    foreseen = isinstance(error, ValueError | OSError | RuntimeError) and str(error)
    return str(error) if foreseen else f"{type(error).__name__}: {error}"


class _ToTheCpu(pickle.Pickler):
    """A tensor that is pickled on a GPU would be rebuilt on the same GPU by its receiver, which
    has another one, or none."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, torch.Tensor) and value.device.type != "cpu":
            return value.detach().cpu().__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        return NotImplemented


def _to_bytes(item: object) -> bytes:
    buffer = io.BytesIO()
    _ToTheCpu(buffer, pickle.HIGHEST_PROTOCOL).dump(item)
    return buffer.getvalue()


@contextmanager
def joined(device: torch.device, timeout_seconds: float) -> Iterator[World]:
    """The world that torchrun's environment names; joins its process group and leaves it.

    Args:
        timeout_seconds: how long a process waits for the others before it gives up.

    Raises:
        RuntimeError: another process has died, or does not answer in time.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:  # the second is how torchrun names each process
        yield World()
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    rank = int(os.environ["RANK"])
    try:
        dist.init_process_group(
            backend, rank=rank, world_size=size, timeout=timedelta(seconds=timeout_seconds)
        )
        yield World(rank, size)
    except RuntimeError as error:
        if not _lost_peer(error):
            raise
        raise RuntimeError(
            f"process {rank} of {size} lost another one, which has died or did not answer within "
            f"{timeout_seconds:.0f} s; start again with --resume to go on from the last checkpoint "
            f"({str(error).splitlines()[0]:.200})"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """One GPU for each process of a machine, where GPUs are used and torchrun started us."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def _lost_peer(error: RuntimeError) -> bool:
    """gloo raises plain RuntimeErrors."""
    if isinstance(error, dist.DistError):
        return True
    return bool(re.search(_LOST, str(error), re.IGNORECASE))
