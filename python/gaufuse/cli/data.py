"""Look at a data set: what is missing, broken, or does not fit together.

`check` reads every file of the folder once. It ends with 1 where training would not work, 0
otherwise.

  gaufuse data check data/thumos14
  gaufuse data check data/thumos14 --json -
"""

from __future__ import annotations

import argparse

from rich.table import Table
from rich.text import Text

from gaufuse.cli.options import add_json, write_answer
from gaufuse.data.check import DataReport, check_data
from gaufuse.utils.console import SlimTable, make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="action", required=True, dest="action")
    check = actions.add_parser("check", help="report what is wrong with a data set folder")
    check.add_argument("folder", metavar="DIR", help="dataset.toml, annotations.json, features/")
    add_json(check, "write the report")


def run(options: argparse.Namespace) -> int:
    console = make_console(stderr=options.json == "-")
    report = check_data(options.folder, console)
    console.print(_summary(report))
    console.print(_classes(report))
    if report.problems:
        console.print(_problems(report))
    else:
        console.print("nothing is wrong")
    if options.json:
        write_answer(options.json, report.as_json())
    return 1 if report.fatal else 0


def _summary(report: DataReport) -> Table:
    kinds = ", ".join(f"{count} {dtype}" for dtype, count in report.dtypes.items()) or "no"
    table = SlimTable(report.name, caption=f"{report.feature_dim} dimensions; {kinds} files")
    table.add_text("subset")
    for column in ("videos", "segments", "snippets"):
        table.add_numbers(column)
    for subset, videos in report.videos.items():
        counts = (videos, report.segments.get(subset, 0), report.snippets.get(subset, 0))
        table.add_row(subset, *(f"{count:,}" for count in counts))
    return table


def _classes(report: DataReport) -> Table:
    subsets = list(next(iter(report.class_videos.values())))
    table = SlimTable("videos per class")
    table.add_text("class")
    for subset in subsets:
        table.add_numbers(subset)
    for label, counts in report.class_videos.items():
        table.add_row(label, *(str(counts[subset]) for subset in subsets))
    return table


def _problems(report: DataReport) -> Table:
    table = SlimTable("problems")
    for column in ("", "what", "how many", "first"):
        table.add_text(column)
    for problem in sorted(report.problems, key=lambda problem: not problem.fatal):
        grade = Text("error", style="red") if problem.fatal else Text("warning", style="yellow")
        first = f"{problem.videos[0]}: {problem.detail}" if problem.detail else problem.videos[0]
        table.add_row(grade, problem.kind, str(len(problem.videos)), first)
    return table
