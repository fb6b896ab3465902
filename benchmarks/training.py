"""Speed of a training step beside the release's literal one and the embedding layer alone (the
floor), its memory, and what label refreshes and online labels cost.

  python benchmarks/training.py --quick
  python benchmarks/training.py --only literal step --lengths 150 750
  python benchmarks/training.py --only compile --lengths 750
  python benchmarks/training.py --json training.json
"""

from __future__ import annotations

import sys

from gaufuse.benchmark.script import run_script
from gaufuse.benchmark.training import add_arguments, run

if __name__ == "__main__":
    sys.exit(run_script(__doc__, add_arguments, run))
