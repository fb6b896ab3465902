"""Mean average precision of detections.

PREDICTIONS is ActivityNet-style JSON, CSV (columns video, start, end, label, score), or
ActionFormer's pickled results; GROUND_TRUTH such JSON or CSV, a W-TALC annotation folder, or a data
set folder. JSON and CSV may be gzip. Without --subset, where the predictions lie in one subset of
the ground truth, that one is used.

  gaufuse evaluate runs/first/predictions.json data/annotations.json --subset testing
  gaufuse evaluate detections.json.gz Thumos14reduced-Annotations --protocol thumos \\
      --ambiguous Thumos14reduced-Annotations/Ambiguous_test.txt --subset test --json -
  gaufuse evaluate runs/first/predictions.json data/annotations.json --bootstrap 1000
  gaufuse evaluate by_class_id.json gt.json --label-map classes.txt --iou-thresholds 0.5:0.05:0.95

first:step:last are the numbers of the protocol's own scripts: numpy.linspace for activitynet,
numpy.arange for thumos. A --label-map is JSON ({"0": "Diving"}, {"Diving": 0} or ["Diving", ...])
or text (a line "0 Diving" for each class, or names alone, counted from 0).
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import replace

import numpy as np
from rich.console import Console

import gaufuse_ext as gx
from gaufuse.cli.options import (
    add_iou_thresholds,
    add_json,
    add_label_map,
    add_protocol,
    add_templates,
    write_answer,
)
from gaufuse.data.detection_files import load_detections
from gaufuse.data.ground_truth import load_any_ground_truth
from gaufuse.utils.console import make_console, map_table
from gaufuse_ext.annotations import VideoAnnotation, choose_subset
from gaufuse_ext.class_names import load_label_map, names_of, with_names
from gaufuse_ext.evaluation.detection_map import DUPLICATES, UNKNOWN_LABELS, UNKNOWN_VIDEOS
from gaufuse_ext.name_templates import by_own_names

SHOWN_CLASSES = 5
CONFIDENCE = 0.95
RECALLS = np.linspace(0.0, 1.0, 101)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", metavar="PREDICTIONS")
    parser.add_argument("ground_truth", metavar="GROUND_TRUTH")
    add_protocol(parser)
    add_iou_thresholds(parser, "tIoU thresholds, or numbers with commas")
    parser.add_argument("--subset", metavar="NAME", help="evaluate on this subset")
    parser.add_argument(
        "--unknown-videos",
        choices=UNKNOWN_VIDEOS,
        default="ignore",
        help="predictions in videos without ground truth: left out, or counted as false positives, "
        "as in the official ActivityNet evaluation (default %(default)s)",
    )
    parser.add_argument(
        "--unknown-labels",
        choices=UNKNOWN_LABELS,
        default="ignore",
        help="predictions of classes that the ground truth does not have: counted and left out, or "
        "an error (default %(default)s)",
    )
    parser.add_argument(
        "--duplicates",
        choices=DUPLICATES,
        default="keep",
        help="detections that repeat an earlier one in everything: detections like others, left "
        "out, or an error; counted in any case (default %(default)s)",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=0,
        metavar="N",
        help="95 %% intervals by N resamples of the videos (1000 is usual)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of --bootstrap (default %(default)s)")
    add_label_map(parser)
    parser.add_argument(
        "--ambiguous", metavar="FILE", help="THUMOS14's Ambiguous_test.txt (thumos protocol)"
    )
    add_templates(parser, "the predictions'", "the ground truth's")
    parser.add_argument("--per-class", action="store_true", help="print each class, too")
    add_json(parser, "write the result")
    parser.add_argument(
        "--curves",
        action="store_true",
        help="in the JSON, each class's precision at recalls of 0, 0.01, ..., 1, too",
    )


def run(options: argparse.Namespace) -> None:
    console = make_console(stderr=options.json == "-")
    if options.curves and not options.json:
        raise ValueError("--curves are written into --json FILE")
    predictions = load_detections(options.predictions)
    everything = load_any_ground_truth(options.ground_truth)
    found, classes = predictions.names
    videos = list(
        by_own_names(dict.fromkeys(found), options.template, options.predictions, "--template")
    )
    predictions = replace(predictions, videos=videos)
    everything = by_own_names(
        everything, options.annotation_template, options.ground_truth, "--annotation-template"
    )
    if options.label_map is not None:
        names = load_label_map(options.label_map)
        predictions = predictions.with_classes(names_of(classes, names, all_of=options.predictions))
        everything = with_names(everything, names)
    if options.subset is None:
        truth = _only_subset_touched(everything, videos, console)
    else:
        truth = choose_subset(everything, options.subset, options.ground_truth)
    result = gx.detection_map(
        predictions,
        {"database": truth},
        options.iou_thresholds,
        options.protocol,
        ambiguous=options.ambiguous,
        unknown_videos=options.unknown_videos,
        unknown_labels=options.unknown_labels,
        duplicates=options.duplicates,
        curves=options.curves,
        bootstrap=options.bootstrap,
        seed=options.seed,
        classes={label for entry in everything.values() for label in entry.labels},
    )
    _say_what_matched_nothing(console, result)
    _print(console, result, options)
    if options.json:
        _write(options.json, result, options, _subset_of(truth))


def _only_subset_touched(
    truth: dict[str, VideoAnnotation], predicted: Collection[str], console: Console
) -> dict[str, VideoAnnotation]:
    touched = {truth[video].subset for video in predicted if video in truth}
    if len(touched) > 1:
        names = ", ".join(sorted(map(str, touched)))
        console.print(
            f"predictions are for videos of several subsets ({names}): evaluated on all the ground "
            "truth; name one with --subset",
            soft_wrap=True,
        )
    if len(touched) != 1 or touched == {video.subset for video in truth.values()}:
        return truth
    (subset,) = touched
    console.print(f"all predictions are for subset {subset!r}: evaluated on that one")
    return {video: entry for video, entry in truth.items() if entry.subset == subset}


def _subset_of(truth: dict[str, VideoAnnotation]) -> str | None:
    """What was evaluated on, where that is one subset."""
    subsets = {entry.subset for entry in truth.values()}
    return subsets.pop() if len(subsets) == 1 else None


def _say_what_matched_nothing(console: Console, result: gx.DetectionMap) -> None:
    videos = result.ignored_videos + result.counted_videos
    if videos:
        done = "false positives" if result.unknown_videos == "count" else "left out"
        console.print(
            f"{videos} videos with predictions have no ground truth: {done} "
            f"(--unknown-videos {result.unknown_videos})",
            soft_wrap=True,
        )
    if result.unknown_classes:
        shown = [
            f"{label!r} ({count})"
            for label, count in list(result.unknown_classes.items())[:SHOWN_CLASSES]
        ]
        more = len(result.unknown_classes) - len(shown)
        console.print(
            f"{sum(result.unknown_classes.values())} predictions are of classes that the ground "
            f"truth does not have, and count nowhere: {', '.join(shown)}"
            + (f" and {more} classes more" if more else ""),
            soft_wrap=True,
        )
    if result.duplicates:
        done = "left out" if result.duplicates_were == "drop" else "detections like others"
        console.print(
            f"{result.duplicates} detections repeat an earlier one in everything: {done} "
            f"(--duplicates {result.duplicates_were})",
            soft_wrap=True,
        )


def _print(console: Console, result: gx.DetectionMap, options: argparse.Namespace) -> None:
    rows = [(f"all {len(result.classes)} classes", result.map, result.average_map)]
    if options.per_class:
        rows = [
            (name, values, values.mean())
            for name, values in zip(result.classes, result.per_class, strict=True)
        ] + rows
    table = map_table(rows, result.iou_thresholds)
    table.caption = f"{options.protocol} protocol"
    if result.bootstrap is not None:
        low, high = result.bootstrap.interval(CONFIDENCE)
        for name, ends in (("95 % from", low), ("to", high)):
            table.add_row(name, *(f"{end:.1f}" for end in ends[:-1]), f"{ends[-1]:.2f}")
    console.print(table)
    if result.bootstrap is not None:
        console.print(
            f"basic bootstrap intervals of {options.bootstrap} resamples of the videos, "
            f"seed {options.seed}",
            soft_wrap=True,
        )


def _write(
    target: str, result: gx.DetectionMap, options: argparse.Namespace, subset: str | None
) -> None:
    value = {
        "map": result.map.tolist(),
        "average_map": result.average_map,
        "iou_thresholds": result.iou_thresholds.tolist(),
        "protocol": options.protocol,
        "subset": subset,
        "unknown_videos": result.unknown_videos,
        "per_class": dict(zip(result.classes, result.per_class.tolist(), strict=True)),
        "ignored_videos": result.ignored_videos,
        "counted_videos": result.counted_videos,
        "unknown_labels": options.unknown_labels,
        "unknown_classes": result.unknown_classes,
        "duplicates": result.duplicates,
        "duplicates_were": result.duplicates_were,
    }
    if result.bootstrap is not None:
        value["intervals"] = _intervals(result.classes, result.bootstrap)
    if result.curves is not None:
        value["curves"] = {
            "recall": RECALLS.tolist(),
            "precision": {  # by class, then by threshold
                name: curve.at_recall(RECALLS).T.tolist()
                for name, curve in zip(result.classes, result.curves, strict=True)
            },
        }
    write_answer(target, value)


def _intervals(classes: list[str], bootstrap: gx.BootstrapMap) -> dict:
    """Pairs of ends."""
    ends = bootstrap.interval(CONFIDENCE).T.tolist()
    by_class = bootstrap.class_interval(CONFIDENCE).T.tolist()
    return {
        "confidence": CONFIDENCE,
        "resamples": len(bootstrap.samples),
        "seed": bootstrap.seed,
        "map": ends[:-1],
        "average_map": ends[-1],
        "per_class": dict(zip(classes, by_class, strict=True)),
    }
