"""The process of one run. A program, started by `processes.py`:

python -m gaufuse.experiment.child PARENT train|linear ARGUMENT...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Ends this process as soon as its parent does, however that ends: a killed experiment leaves
    nothing running. (Linux; elsewhere only an experiment that ends in order ends its runs.)"""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the call
            os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """PARENT, the kind of run, and its arguments; the exit status."""
    parent, kind, *rest = arguments
    end_with(int(parent))
    if kind == "linear":
        from gaufuse.experiment import linear_mil

        return linear_mil.main(rest)
    from gaufuse.cli.main import main as gaufuse

    return gaufuse([kind, *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
