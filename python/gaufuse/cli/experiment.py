"""Run a grid of arms x data sets x seeds, and say what it shows.

FILE is TOML: seeds, data sets, arms, and which arm is the control of which (docs/experiments.md).
Every cell is one `gaufuse train` in a process of one thread, several side by side. A record of each
is appended to OUTPUT/records.jsonl; what has a record is not run again, an arm whose settings have
changed is. Interrupted or killed, the same command goes on.

  gaufuse experiment experiments/evidence-quick.toml --dry-run
  gaufuse experiment experiments/evidence-quick.toml --workers 2
  gaufuse experiment my.toml --only 'shrec21/*' control
  gaufuse experiment my.toml --report --json my.json --plot my.svg --write results.md

Exit status 1: a cell failed; the others were run nevertheless.
"""

from __future__ import annotations

import argparse
import os
import shlex
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from gaufuse.cli.options import add_json, write_answer
from gaufuse.experiment.definition import Cell, cells_of, load_experiment
from gaufuse.experiment.document import document, relative_to
from gaufuse.experiment.grid import Grid, Plan, make_plan
from gaufuse.experiment.inputs import DataFolders
from gaufuse.experiment.plot import save_plot
from gaufuse.experiment.progress import duration, typical_seconds
from gaufuse.experiment.records import read_records
from gaufuse.experiment.statistics import METHODS
from gaufuse.experiment.summary import Summary, summarise, summary_json
from gaufuse.experiment.tables import all_tables, rich_table
from gaufuse.training.run_folder import locked
from gaufuse.utils.console import make_console
from gaufuse.utils.files import write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the experiment, TOML")
    parser.add_argument(
        "--output", "-o", metavar="FOLDER", help="for runs and records (default: runs/NAME of FILE)"
    )
    parser.add_argument(
        "--records", metavar="JSONL", help="the records (default: OUTPUT/records.jsonl)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="runs side by side (default: FILE's, or one a core)",
    )
    parser.add_argument(
        "--only",
        action="extend",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="of the cells those whose DATA/ARM/SEED, data set or arm matches",
    )
    parser.add_argument("--again", action="store_true", help="run finished cells once more, too")
    parser.add_argument(
        "--keep", action="store_true", help="keep the runs' folders, not their records alone"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="list the cells and run none")
    what.add_argument(
        "--report", action="store_true", help="tables from the records that are there; run nothing"
    )
    parser.add_argument(
        "--interval", choices=METHODS, default="t", help="of differences (default: %(default)s)"
    )
    add_json(parser, "the tables")
    parser.add_argument("--plot", metavar="FILE", help="a plot, .svg or .png (needs matplotlib)")
    parser.add_argument("--write", metavar="FILE.md", help="a document of tables and the plot")


def run(options: argparse.Namespace) -> int:
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {options.workers}")
    experiment = load_experiment(options.file)
    cells = cells_of(experiment, options.only)
    if not cells:
        raise ValueError(f"--only {' '.join(options.only)}: no cell matches; see --dry-run")
    console = make_console(stderr=options.json == "-")
    output = Path(options.output or Path("runs") / Path(options.file).stem)
    records_path = Path(options.records) if options.records else output / "records.jsonl"
    records = read_records(records_path)
    failed: list[Cell] = []
    if not options.report:
        workers = options.workers or experiment.workers or os.cpu_count() or 1
        folders = DataFolders(Path(options.file), output / "data", reuse=options.dry_run)
        with nullcontext() if options.dry_run else locked(output):
            plan = make_plan(cells, folders, records, options.again)
            _announce(plan, console)
            if options.dry_run:
                _list(plan, records, workers, console)
                return 0
            grid = Grid(folders, output, records_path, workers, options.keep, console)
            failed = grid.run(plan, records)
        records = read_records(records_path)
    _report(summarise(experiment, records, options.interval, options.only), options, console)
    if failed:
        console.print(f"{len(failed)} of {len(cells)} cells failed", style="red")
    return 1 if failed else 0


def _announce(plan: Plan, console: Console) -> None:
    for data, variable in plan.without_data.items():
        console.print(f"data set {data} is left out: {variable} is not set")
    console.print(f"{len(plan.finished)} runs finished earlier, {len(plan.waiting)} to do")


def _list(plan: Plan, records: list[dict], workers: int, console: Console) -> None:
    todo = [cell for cell, _ in plan.waiting]
    for word, cells in (("finished", plan.finished), ("to do", todo)):
        for cell in cells:
            command = "linear_mil" if cell.kind == "linear" else "gaufuse train"
            console.print(
                f"{word:8}  {cell.name}  {command} {shlex.join(cell.arguments)}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    seconds = typical_seconds(records).left(todo, [])
    if seconds is not None and todo:
        console.print(f"about {duration(seconds / workers)} with {workers} side by side")


def _report(summary: Summary, options: argparse.Namespace, console: Console) -> None:
    for table in all_tables(summary):
        console.print(rich_table(table))
    for note in summary.notes:
        console.print(note, markup=False, soft_wrap=True)
    if options.json:
        write_answer(options.json, summary_json(summary))
    if options.plot:
        save_plot(summary, options.plot)
    if options.write:
        path = Path(options.write)
        plot = relative_to(Path(options.plot), path) if options.plot else None
        write_text(path, document(summary, _command(options), plot))


def _command(options: argparse.Namespace) -> str:
    """What writes the same document again, from the same records."""
    words = ["gaufuse", "experiment", options.file, "--report"]
    for name in ("records", "plot", "write"):
        value = getattr(options, name)
        words += [f"--{name}", value] if value else []
    words += ["--interval", options.interval] if options.interval != "t" else []
    return shlex.join(words)
