"""Write one page about a finished run, or about two beside each other.

The page is one HTML file that loads nothing: what was trained on what, curves, mAP with intervals
over the test videos, classes, pseudo labels over refreshes, errors, and timelines of the best,
median and worst videos to zoom into. Where the data set has moved, say where with --data
(docs/report.md).

  gaufuse report runs/first -o first.html
  gaufuse report runs/control runs/first -o comparison.html
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from gaufuse.cli.options import add_device, pick_device
from gaufuse.report.page import write_report
from gaufuse.utils.console import make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", help="folder of a finished run")
    parser.add_argument("second", metavar="RUN2", nargs="?", help="a run to compare it with")
    parser.add_argument("--output", "-o", required=True, metavar="OUT", help=".html")
    parser.add_argument("--data", metavar="DIR", help="where the data set folder is now")
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    if Path(options.output).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{options.output} must end in .html")
    started = time.monotonic()
    roots = [options.folder, *([options.second] if options.second else [])]
    size = write_report(roots, options.output, pick_device(options.device), options.data)
    make_console().print(
        f"{size / 1e6:.1f} MB in {time.monotonic() - started:.1f} s: {options.output}",
        soft_wrap=True,
    )
