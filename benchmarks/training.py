"""Speed of a training step beside the release's literal one and the embedding layer alone (the
floor), and what label refreshes and online labels cost.

  python benchmarks/training.py --quick
  python benchmarks/training.py --only literal step --lengths 150 750
  python benchmarks/training.py --only compile --lengths 750
  python benchmarks/training.py --json training.json
"""

from __future__ import annotations

import argparse
import sys

from gaufuse.benchmark.training import add_arguments, run


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    try:
        run(parser.parse_args())
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
