"""What a model gets wrong: error types and what each costs, misses, confusions, calibration.

PREDICTIONS and GROUND_TRUTH as in `gaufuse evaluate`. Two models are compared by a paired bootstrap
over videos. What each error is, exactly: docs/analysis.md.

  gaufuse analyse detections.json annotations.json --subset testing
  gaufuse analyse detections.json annotations.json --plot errors.png --json errors.json
  gaufuse analyse ours.json annotations.json theirs.json --iou-thresholds 0.5:0.05:0.95
  gaufuse analyse detections.json annotations.json --length-edges 3 6 12 18
  gaufuse analyse detections.json Thumos14reduced-Annotations --protocol thumos --subset test
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

from gaufuse.analysis.analyse import DEFAULT_TIOU, Analysis, analyse, analyse_two
from gaufuse.analysis.tables import comparison_table, tables
from gaufuse.cli.fuse import load_sources
from gaufuse.cli.options import (
    add_iou_thresholds,
    add_json,
    add_label_map,
    add_protocol,
    write_answer,
)
from gaufuse.data.ground_truth import load_any_ground_truth
from gaufuse.localization.pooled_detections import NamedSegments
from gaufuse.utils.console import make_console
from gaufuse_ext.annotations import VideoAnnotation, choose_subset
from gaufuse_ext.class_names import load_label_map, names_of
from gaufuse_ext.evaluation.detection_map import check_thresholds as thresholds_of

EDGES = ("length", "coverage", "number")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", metavar="PREDICTIONS")
    parser.add_argument("ground_truth", metavar="GROUND_TRUTH")
    parser.add_argument("other", nargs="?", metavar="PREDICTIONS2", help="a model to compare with")
    parser.add_argument("--subset", metavar="NAME", help="analyse on this subset")
    add_label_map(parser)
    add_protocol(parser)
    add_iou_thresholds(parser, "of mAP and of what errors cost")
    parser.add_argument(
        "--tiou",
        type=float,
        default=DEFAULT_TIOU,
        help="of error types, misses, confusions and calibration (default %(default)s)",
    )
    for name, what in zip(
        EDGES, ("instances in seconds", "their share of the video", "their number"), strict=True
    ):
        parser.add_argument(
            f"--{name}-edges",
            type=float,
            nargs="+",
            metavar="X",
            help=f"where groups of {what} end (default: quantiles)",
        )
    parser.add_argument(
        "--resamples",
        type=int,
        default=1000,
        metavar="N",
        help="of videos, for two models (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the resamples (default %(default)s)"
    )
    add_json(parser, "write everything")
    parser.add_argument("--plot", metavar="FILE", help="write a figure: .png, .svg or .pdf")


def run(options: argparse.Namespace) -> None:
    console = make_console(stderr=options.json == "-")
    if options.seed < 0:
        raise ValueError(f"--seed must not be negative, got {options.seed}")
    paths = [path for path in (options.predictions, options.other) if path is not None]
    sources = load_sources(paths, options.label_map)
    truth = _truth(options, sources)
    thresholds = thresholds_of(options.iou_thresholds, options.protocol)
    given = {name: getattr(options, f"{name}_edges") for name in EDGES}
    edges = {name: own for name, own in given.items() if own is not None}
    names = [Path(path).name for path in paths]
    comparison = None
    if len(sources) == 1:
        analyses = [
            analyse(sources[0], truth, thresholds, options.tiou, edges, protocol=options.protocol)
        ]
    else:
        *analyses, comparison = analyse_two(
            sources[0],
            sources[1],
            truth,
            thresholds,
            options.tiou,
            edges,
            protocol=options.protocol,
            resamples=options.resamples,
            seed=options.seed,
        )
    for name, analysis in zip(names, analyses, strict=True):
        console.print(_heading(name, analysis), soft_wrap=True)
        for table in tables(analysis):
            console.print(table)
    if comparison is not None:
        console.print(comparison_table(comparison, *names))
    if options.plot:
        from gaufuse.analysis.plot import save_plot

        save_plot(analyses, names, options.plot)
    if options.json:
        models = zip(names, analyses, strict=True)
        value: dict[str, object] = {
            "models": [{"file": name, **analysis.to_dict()} for name, analysis in models]
        }
        if comparison is not None:
            value["comparison"] = asdict(comparison)
        write_answer(options.json, value)


def _truth(options: argparse.Namespace, sources: list[NamedSegments]) -> dict[str, VideoAnnotation]:
    truth = load_any_ground_truth(options.ground_truth)
    if options.label_map is not None:
        names = load_label_map(options.label_map)
        truth = {v: replace(e, labels=names_of(e.labels, names)) for v, e in truth.items()}
    if options.subset is not None:
        return choose_subset(truth, options.subset, options.ground_truth)
    touched = {truth[v].subset for source in sources for v in source.videos if v in truth}
    if len(touched) == 1:  # as `gaufuse evaluate` does
        return {video: entry for video, entry in truth.items() if entry.subset in touched}
    return truth


def _heading(name: str, analysis: Analysis) -> str:
    out = ", ".join(f"{count} {what}" for what, count in analysis.left_out.items() if count)
    return (
        f"{name}: {analysis.detections} detections, {analysis.instances} instances in "
        f"{analysis.videos} videos, average mAP {analysis.average_map:.2f} % "
        f"({analysis.settings.protocol} protocol), "
        f"{analysis.missed:.1f} % of the instances missed at tIoU {analysis.settings.tiou:g}"
        + (f"; left out: {out}" if out else "")
    )
