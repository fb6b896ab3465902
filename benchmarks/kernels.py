"""Speed of the kernels beside the Python reference and other ways; `gaufuse bench` without rich.

Also compares with plain C++ loops, which it compiles where there is a g++.

  python benchmarks/kernels.py --quick
  python benchmarks/kernels.py --json kernels.json --plot kernels.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from gaufuse.benchmark.command import add_arguments, run
from gaufuse.benchmark.script import run_script

if __name__ == "__main__":
    loops = Path(__file__).with_name("scalar_loops.cpp")
    sys.exit(
        run_script(__doc__, add_arguments, run, scalar_loops=loops if loops.is_file() else None)
    )
