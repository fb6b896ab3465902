"""SIGTERM and Ctrl-C while a run trains: a checkpoint first, then the end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Terminals, make and launchers pass one Ctrl-C on twice; a person takes longer.
ONE_REQUEST_SECONDS = 1.0


class Stopped(KeyboardInterrupt):
    """A run that was asked to end, and has. No Exception, so that nobody takes it for a failure.

    Attributes:
        exit_status: 128 + the signal's number, as shells report a process that a signal ended.
    """

    def __init__(self, number: int, said: str):
        super().__init__(f"stopped by {signal.Signals(number).name} {said}; go on with --resume")
        self.exit_status = 128 + number


class StopRequest:
    """While it is entered, the first SIGTERM or Ctrl-C is only noted, for the run to end at its
    next whole state; one more ends it at once, with the last checkpoint as what is kept.

    Signals reach the main thread alone, so that elsewhere nothing changes; nor does a signal that
    is ignored (nohup) or that the program around us handles itself.
    """

    def __init__(self, tells: bool = True):
        """Args:
        tells: say on stderr that the request was heard: an epoch may take minutes.
        """
        self.number = 0  # of the signal; 0: nobody has asked
        self._tells = tells
        self._asked_at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.number == 0:
            self.number, self._asked_at = number, now
            self._tell(
                f"gaufuse: {signal.Signals(number).name}: stopping at the end of this epoch, with "
                "a checkpoint; once more stops at once\n"
            )
        elif now - self._asked_at > ONE_REQUEST_SECONDS:
            raise Stopped(number, "at once, with the last checkpoint as it was")

    def _tell(self, message: str) -> None:
        if self._tells:  # not by print: the signal may have come in the middle of one
            with contextlib.suppress(OSError):
                os.write(2, message.encode())
