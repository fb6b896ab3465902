"""Whether processes hang, told apart from those that a busy machine lets wait: what hangs sleeps,
and takes no time of a processor, or takes it without end. Of Linux."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

MOST_ASLEEP = 15.0  # seconds on end, of all threads together
MOST_WORK = 120.0  # seconds of processors' time


def end(has_ended: Callable[[], bool], processes: Callable[[], Iterable[int]]) -> bool:
    """Waits until `has_ended` says so; False: the processes hang.

    Args:
        processes: their ids; there may be others by and by.
    """
    asleep_since, spent_before = time.monotonic(), -1.0
    while not has_ended():
        threads = [thread for process in processes() for thread in _threads_of(process)]
        spent = sum(seconds for _, seconds in threads)
        if spent > MOST_WORK:
            return False
        if spent != spent_before or any(state != "S" for state, _ in threads):
            asleep_since, spent_before = time.monotonic(), spent
        elif time.monotonic() - asleep_since > MOST_ASLEEP:
            return False
        time.sleep(0.05)
    return True


def of_session(leader: int) -> list[int]:
    """The processes of a session, such as those that a `Popen(start_new_session=True)` started."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.getsid(int(entry)) == leader:
                found.append(int(entry))
        except ProcessLookupError:  # it has just ended
            continue
    return found


def _threads_of(process: int) -> list[tuple[str, float]]:
    """State ("R" runs or would if it could, "S" sleeps, ...) and time of each."""
    found = []
    for path in Path(f"/proc/{process}/task").glob("*/stat"):
        try:
            # number (name) state parent ...: 14th and 15th are the times; names may hold ")".
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        ticks = int(fields[11]) + int(fields[12])
        found.append((fields[0], ticks / os.sysconf("SC_CLK_TCK")))
    return found
