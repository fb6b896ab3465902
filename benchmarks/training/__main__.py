"""Speed of a training step beside the release's literal one and the embedding layer alone (the
floor), what each part of it takes, its memory, and what label refreshes and online labels cost.

  python -m benchmarks.training --quick
  python -m benchmarks.training --only literal step --lengths 150 750
  python -m benchmarks.training --only compile --lengths 750
  python -m benchmarks.training --only parts --lengths 150 750
  python -m benchmarks.training --json training.json
"""

from __future__ import annotations

import sys

from benchmarks.training.command import add_arguments, run
from gaufuse.benchmark.script import run_script

if __name__ == "__main__":
    sys.exit(run_script(__doc__, add_arguments, run))
