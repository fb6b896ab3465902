"""How good pseudo labels are against ground-truth snippets, by the way they are made.

Sources: proposals of THUMOS14's training videos (thumos60: the first 60 of them; thumos: all 200)
and models trained on the training clips of GTEA (gtea1, gtea2: two splits), which need
GAUFUSE_DATA_ROOT, and a model trained on the simulated data set.

  python benchmarks/label_quality.py --quick --source simulated
  python benchmarks/label_quality.py --json label_quality.json --plot label_quality.png
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch; see gaufuse/cli/__init__.py

import argparse
import sys

from gaufuse.label_quality.command import add_arguments, run


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    try:
        run(parser.parse_args())
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
