"""Speed of the kernels beside the Python reference and other ways; `gaufuse bench` without rich.

Also compares with plain C++ loops, which it compiles where there is a g++.

  python benchmarks/kernels.py --quick
  python benchmarks/kernels.py --json kernels.json --plot kernels.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gaufuse.benchmark.command import add_arguments, run


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    loops = Path(__file__).with_name("scalar_loops.cpp")
    parser.set_defaults(scalar_loops=loops if loops.is_file() else None)
    try:
        run(parser.parse_args())
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
