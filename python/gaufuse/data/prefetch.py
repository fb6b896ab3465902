"""Work done ahead of its use, in the given order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """work(item) of each item in order, made by `workers` threads while the caller uses the ones
    before; at most workers + 1 results wait. 0 workers: made when it is asked for.

    Threads, not processes: reading and copying arrays releases the interpreter lock, and nothing
    has to be sent. What `work` raises is raised where its result would have come.
    """
    if workers == 0:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="prefetch") as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # also when the caller stops early
            for future in waiting:
                future.cancel()
