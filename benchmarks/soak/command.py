"""Runs the soaks, shows what the process held, and fails where it grew."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.soak.operations import call_until
from benchmarks.soak.samples import MIB, Growth, Sample, after_warm_up, growth_of, sampling
from benchmarks.soak.training import train_until
from gaufuse.experiment.provenance import versions
from gaufuse.experiment.records import append_record
from gaufuse.utils.console import SlimTable, make_console

SOAKS: dict[str, Callable[[float], dict[str, int]]] = {
    "training": train_until,
    "operations": call_until,
}
SLOPE = 20.0  # MiB an hour
ROWS = 12  # of the table: means of so many equal parts of the time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=60.0, help="of each (default: 60)")
    parser.add_argument("--only", choices=SOAKS, help="one of them")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between samples")
    parser.add_argument(
        "--slope",
        type=float,
        default=SLOPE,
        metavar="MIB",
        help="an hour: by how much memory may grow after the first quarter (default: %(default)s)",
    )
    parser.add_argument("--record", metavar="FILE", help="append what was found, a line of JSON")


def run(options: argparse.Namespace) -> int:
    if not options.minutes > 0.0 or not options.every > 0.0:
        raise ValueError("--minutes and --every must be above 0")
    if options.record and not Path(options.record).parent.is_dir():
        raise ValueError(f"{options.record}: no such folder")
    problems: list[str] = []
    for name in [options.only] if options.only else SOAKS:
        with sampling(options.every) as samples:
            work = SOAKS[name](time.monotonic() + 60.0 * options.minutes)
        growth = growth_of(samples)
        _show(name, work, samples, growth)
        found = growth.problems(options.slope)
        problems += [f"{name}: {problem}" for problem in found]
        if options.record:
            append_record(options.record, _record(name, work, samples, growth, options, found))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def _record(
    name: str,
    work: dict[str, int],
    samples: list[Sample],
    growth: Growth,
    options: argparse.Namespace,
    problems: list[str],
) -> dict:
    kept = after_warm_up(samples)

    def range_of(field: str, unit: int = 1) -> list[float]:
        numbers = [getattr(sample, field) / unit for sample in kept]
        return [round(min(numbers), 1), round(max(numbers), 1)]

    return {
        "soak": name,
        "minutes": round(samples[-1].seconds / 60.0, 1),
        "work": work,
        "memory_mib": range_of("memory", MIB),
        "files": range_of("files"),
        "threads": range_of("threads"),
        "slope_mib_an_hour": round(growth.slope, 2),
        "slope_allowed": options.slope,
        "problems": problems,
        "torch_threads": torch.get_num_threads(),
        **versions(),
    }


def _show(name: str, work: dict[str, int], samples: list[Sample], growth: Growth) -> None:
    table = SlimTable()
    for header in ("minutes", "memory, MiB", "files", "threads"):
        table.add_numbers(header)
    for part in np.array_split(np.array(samples, dtype=object), min(ROWS, len(samples))):
        table.add_row(
            f"{part[-1].seconds / 60.0:.1f}",
            f"{np.mean([sample.memory for sample in part]) / MIB:.1f}",
            f"{np.mean([sample.files for sample in part]):.1f}",
            f"{np.mean([sample.threads for sample in part]):.1f}",
        )
    console = make_console()
    done = ", ".join(f"{count:,} {what}" for what, count in work.items())
    console.print(f"{name}: {done}", soft_wrap=True)
    console.print(table)
    console.print(f"after the warm-up memory grows by {growth.slope:.1f} MiB an hour")
