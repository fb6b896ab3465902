"""An hour of work in one process, whose memory, open files and threads must not grow.

Training with online labels is `gaufuse train` on the small simulated data set, run after run.
Operations are called from eight threads with inputs of random sizes; now and then a call is
repeated, and must give the same bits.

  python -m benchmarks.soak                            # an hour of each, one after the other
  python -m benchmarks.soak --minutes 1 --only operations --slope 600
  python -m benchmarks.soak --record benchmarks/results/soak.jsonl
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch; see gaufuse/cli/__init__.py

import sys

from benchmarks.soak.command import add_arguments, run
from gaufuse.benchmark.script import run_script

if __name__ == "__main__":
    sys.exit(run_script(__doc__, add_arguments, run))
