"""What becomes of a call on a hostile file: in a forked child with little memory and little time,
so that a crash, a flood of memory or an endless loop is an outcome too."""

from __future__ import annotations

import os
import pickle
import resource
from collections.abc import Callable
from typing import NamedTuple

import torch


class Outcome(NamedTuple):
    kind: str  # "right", the name of an exception, or "killed by signal N"
    value: object  # what was returned (its repr where it cannot be pickled), or the message

    @property
    def is_refusal(self) -> bool:
        """A clear error: ValueError (or a kind of it) or one of the operating system's."""
        return self.kind in {"ValueError", "FileNotFoundError", "IsADirectoryError", "OSError"}


def outcome_of(call: Callable[[], object], megabytes: int = 700, seconds: int = 30) -> Outcome:
    """
    Args:
        megabytes: of address space that the child may take beyond what it starts with.
        seconds: of processor time.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        torch.set_num_threads(1)  # torch would wait for threads that only the parent has
        _limit(megabytes, seconds)
        result = tuple(attempt(call))
        with os.fdopen(writer, "wb") as file:
            file.write(pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Outcome(f"killed by signal {os.WTERMSIG(status)}", None)
    return Outcome(*pickle.loads(data))


def _limit(megabytes: int, seconds: int) -> None:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    most = used + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    spent = resource.getrusage(resource.RUSAGE_SELF)
    end = int(spent.ru_utime + spent.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (end, end))


def attempt(call: Callable[[], object]) -> Outcome:
    """The same in this process, as far as exceptions go."""
    try:
        value = call()
    except BaseException as error:
        return Outcome(type(error).__name__, str(error))
    try:
        pickle.dumps(value)
    except Exception:
        value = repr(value)
    return Outcome("right", value)
