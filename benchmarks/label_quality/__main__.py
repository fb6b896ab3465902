"""How good pseudo labels are against ground-truth snippets, by the way they are made.

Sources: proposals of THUMOS14's training videos (thumos60: the first 60 of them; thumos: all 200)
and models trained on the training clips of GTEA (gtea1, gtea2: two splits), which need
GAUFUSE_DATA_ROOT, and a model trained on the simulated data set.

  python -m benchmarks.label_quality --quick --source simulated
  python -m benchmarks.label_quality --json label_quality.json --plot label_quality.png
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch; see gaufuse/cli/__init__.py

import sys

from benchmarks.label_quality.command import add_arguments, run
from gaufuse.benchmark.script import run_script

if __name__ == "__main__":
    sys.exit(run_script(__doc__, add_arguments, run))
