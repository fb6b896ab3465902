"""Speed of the kernels beside the Python reference and other ways.

Tables on stdout. A full run takes some minutes, --quick some seconds. Run it on a machine that does
nothing else.

  gaufuse bench --quick
  gaufuse bench --only nms soft_nms --threads 8 --json kernels.json --plot kernels.png
"""

from __future__ import annotations

from gaufuse.benchmark.command import add_arguments, run

__all__ = ["add_arguments", "run"]
