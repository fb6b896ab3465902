"""The command, as `gaufuse bench` and as a script."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from gaufuse.benchmark import operations, show
from gaufuse.benchmark.runner import FULL, QUICK, Runner
from gaufuse.benchmark.versions import ScalarLoops
from gaufuse.utils.files import write_json
from gaufuse_ext import build_info

LINE_EVERY_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As a command's (`gaufuse.cli.command`)."""
    parser.add_argument(
        "--only",
        nargs="+",
        choices=operations.NAMES,
        metavar="OPERATION",
        help=f"some of {', '.join(operations.NAMES)}",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    parser.add_argument(
        "--device", help="cpu, cuda or cuda:N (default: cuda where the package can use it)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="CPU threads to measure with, beside a single one (default: torch's number)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the ratios, as PNG or SVG (needs matplotlib)"
    )
    parser.add_argument(
        "--scalar-loops",
        type=Path,
        metavar="FILE",
        help="compare with these plain C++ loops, too: benchmarks/scalar_loops.cpp of the source "
        "(needs g++)",
    )


def run(options: argparse.Namespace) -> None:
    """Measures, prints the tables, writes what was asked for.

    Raises:
        ValueError: an option's value, before anything is measured.
    """
    device = _device(options.device)
    threads = torch.get_num_threads() if options.threads is None else options.threads
    if threads < 1:
        raise ValueError(f"--threads must be at least 1, got {threads}")
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: pip install matplotlib")
    loops = options.scalar_loops
    if loops and not loops.is_file():
        raise ValueError(f"--scalar-loops {loops}: no such file")
    for path in filter(None, (options.json, options.plot)):
        if not Path(path).parent.is_dir():  # now, not after minutes
            raise ValueError(f"{path}: no such folder")
    chosen = [
        operation
        for operation in operations.operations(ScalarLoops(loops))
        if not options.only or operation.name in options.only
    ]
    runner = Runner(device, threads, QUICK if options.quick else FULL)
    with _progress(runner.steps(chosen, options.quick)) as advance:
        report = runner.run(chosen, options.quick, advance)
    if options.json:
        write_json(options.json, report)
    if options.plot:
        show.save_plot(report, options.plot)
    print(show.tables(report))


def _device(name: str | None) -> torch.device:
    usable = bool(build_info()["cuda_available"])
    if name is None:
        return torch.device("cuda" if usable else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device must be cpu, cuda or cuda:N, got {name!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device must be cpu, cuda or cuda:N, got {name!r}")
    if device.type == "cuda" and not usable:
        raise ValueError(
            f"--device {name}: no CUDA device here, or gaufuse-ext was built without CUDA "
            "(see 'gaufuse info')"
        )
    return device


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """advance(what comes next), on stderr. Plain: rich need not be there, stdout is the table's."""
    terminal = sys.stderr.isatty()
    started = printed = time.monotonic()
    done = 0

    def advance(note: str) -> None:
        nonlocal printed, done
        done += 1
        now = time.monotonic()
        if terminal:
            print(f"\r\033[K{done}/{total}  {now - started:.0f} s  {note}", end="", file=sys.stderr)
        elif now - printed >= LINE_EVERY_SECONDS:
            printed = now
            print(f"{done}/{total}  {now - started:.0f} s  {note}", file=sys.stderr)
        sys.stderr.flush()

    try:
        yield advance
    finally:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
