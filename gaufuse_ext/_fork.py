"""Forked children: torch's own threads (OpenMP) do not survive a fork.

In a child, a torch operation that shares out its work waits for threads that only the parent has,
for ever; ours start new ones. So what we ask of torch there keeps to one thread.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_FORKED_WITHOUT_EXEC = 0x40  # PF_FORKNOEXEC of Linux


class _Own(threading.local):
    threads: int | None = None  # what torch had before it was let work on one


_own = _Own()


def _is_forked() -> bool:
    """Whether this process is a fork already, for a child that imports us itself."""
    try:
        stat = Path("/proc/self/stat").read_text()
        # pid (name) state parent group session terminal terminal's group flags; names may hold ")".
        return bool(int(stat.rpartition(")")[2].split()[6]) & _FORKED_WITHOUT_EXEC)
    except (OSError, ValueError, IndexError):  # not Linux
        return False


_forked = _is_forked()


def _note_fork() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_note_fork)


def works_in_forked_child(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Lets torch work on one thread while the function runs in a forked child; our kernels keep to
    `kernel_threads`."""

    @functools.wraps(function)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        if not _forked or torch.compiler.is_compiling():
            return function(*args, **kwargs)
        threads = torch.get_num_threads()
        if threads == 1:
            return function(*args, **kwargs)
        _own.threads = threads
        torch.set_num_threads(1)
        try:
            return function(*args, **kwargs)
        finally:
            torch.set_num_threads(threads)
            _own.threads = None

    return wrapper


def kernel_threads() -> int:
    """As many threads as the caller gave torch."""
    return _own.threads or torch.get_num_threads()
