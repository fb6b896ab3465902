"""The command of benchmarks/label_quality."""

from __future__ import annotations

import argparse
import importlib.util
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.label_quality import show
from benchmarks.label_quality.methods import (
    KINDS,
    Labelling,
    Selection,
    labellings,
    labels_of,
    selections,
)
from benchmarks.label_quality.metrics import measure
from benchmarks.label_quality.sources import (
    NEED_DATA,
    SOURCES,
    ProposalSource,
    Request,
    load_source,
)
from gaufuse.utils.console import ProgressLine, make_console
from gaufuse.utils.files import write_json, write_text
from gaufuse_ext.annotations import read_json

SCHEMA = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        nargs="+",
        choices=tuple(SOURCES),
        metavar="SOURCE",
        help=f"some of {', '.join(SOURCES)} (default: all; without GAUFUSE_DATA_ROOT, simulated)",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        choices=KINDS,
        metavar="KIND",
        default=KINDS,
        help=f"ways to make labels: some of {', '.join(KINDS)} (default: all)",
    )
    parser.add_argument(
        "--match",
        nargs="+",
        metavar="TEXT",
        default=[""],
        help='only methods whose row, as "raw | mean", contains one of these; with --read, in '
        "--markdown alone",
    )
    parser.add_argument("--quick", action="store_true", help="few videos, a small grid; seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation and the training")
    parser.add_argument(
        "--read",
        nargs="+",
        metavar="FILE",
        help="measure nothing: take the sources of these reports, written by --json",
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")
    parser.add_argument(
        "--markdown", metavar="FILE", help="write pooled AP as a table, a column a source"
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw calibration, as PNG or SVG (needs matplotlib)"
    )


def run(options: argparse.Namespace) -> None:
    """Measures, or reads what was measured; prints the tables and writes what was asked for."""
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: pip install matplotlib")
    for path in filter(None, (options.json, options.markdown, options.plot)):
        if not Path(path).parent.is_dir():  # now, not after minutes
            raise ValueError(f"{path}: no such folder")
    report = _read(options.read) if options.read else _measure(options)
    for result in report["sources"]:
        print(show.table(result), end="\n\n")
    if len(report["sources"]) > 1:
        print(show.weakest_table(report["sources"]), end="\n\n")
    print(show.EXPLANATION)
    if options.json:
        write_json(options.json, report)
    if options.markdown:
        write_text(Path(options.markdown), show.markdown(report["sources"], options.match))
    if options.plot:
        show.save_plot(report, options.plot)


def _measure(options: argparse.Namespace) -> dict:
    root = os.environ.get("GAUFUSE_DATA_ROOT")
    names = options.source or [name for name in SOURCES if root or name not in NEED_DATA]
    console = make_console(stderr=True)  # stdout is the tables'
    request = Request(Path(root) if root else None, options.quick, options.seed, console)
    # One thread: training then repeats to the bit, and on small models it is not slower.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        results = []
        for name in dict.fromkeys(names):
            console.print(f"source {name}")
            results.append(measure_source(load_source(name, request), options, console))
    finally:
        torch.set_num_threads(threads)
    return {
        "schema": SCHEMA,
        "quick": options.quick,
        "seed": options.seed,
        "torch": torch.__version__,
        "sources": results,
    }


def _read(paths: list[str]) -> dict:
    """One report of several, which must have been made alike."""
    reports = [read_json(path) for path in paths]
    for path, report in zip(paths, reports, strict=True):
        if not isinstance(report, dict) or report.get("schema") != SCHEMA:
            raise ValueError(f"{path} is not a report of this version's --json")
        if any(report[key] != reports[0][key] for key in ("quick", "seed", "torch")):
            raise ValueError(f"{path} was made otherwise (quick, seed or torch) than {paths[0]}")
    sources = [source for report in reports for source in report["sources"]]
    return {**reports[0], "sources": sources}


def measure_source(source: ProposalSource, options: argparse.Namespace, console: Console) -> dict:
    """Every method's quality on a source, best pooled AP first."""
    chosen = [
        (
            selection,
            [
                way
                for way in labellings(selection, options.quick)
                if way.kind in options.labels
                and any(text in f"{selection.name} | {way.name}" for text in options.match)
            ],
        )
        for selection in selections(options.quick)
        if selection.of_activations is None or source.groups[0].activations is not None
    ]
    total = sum(len(ways) for _, ways in chosen)
    methods = []
    with ProgressLine(console, source.name, total) as line:
        if source.groups[0].activations is not None:
            methods.append(_entry(source, "-", "CAS", [g.activations for g in source.groups]))
        for selection, ways in chosen:
            methods += _of_selection(source, selection, ways, line)
    methods.sort(key=lambda m: (-m["pooled_ap"], m["selection"], m["labelling"]))
    truth = np.concatenate([group.truth for group in source.groups])
    return {
        "source": source.name,
        "description": source.description,
        "groups": len(source.groups),
        "snippets": len(truth),
        "positive": float(truth.mean()),
        "proposals": float(np.mean([len(group.scores) for group in source.groups])),
        "methods": methods,
    }


def _of_selection(
    source: ProposalSource, selection: Selection, ways: list[Labelling], line: ProgressLine
) -> list[dict]:
    instances = [selection.of(group) for group in source.groups]
    entries = []
    for way in ways:
        line.advance(f"{selection.name} | {way.name}")
        labels = [
            labels_of(group, own, way) for group, own in zip(source.groups, instances, strict=True)
        ]
        entries.append(_entry(source, selection.name, way.name, labels))
    return entries


def _entry(
    source: ProposalSource, selection: str, labelling: str, labels: list[np.ndarray]
) -> dict:
    quality = measure(
        labels, [group.truth for group in source.groups], [group.label for group in source.groups]
    )
    return {"selection": selection, "labelling": labelling, **asdict(quality)}
