"""Mean average precision of detections.

PREDICTIONS is ActivityNet-style JSON, GROUND_TRUTH such JSON or a W-TALC annotation folder; JSON
may be gzip. Without --subset, where the predictions lie in one subset of the ground truth, that one
is used.

  gaufuse evaluate runs/first/predictions.json data/annotations.json --subset testing
  gaufuse evaluate detections.json.gz Thumos14reduced-Annotations --protocol thumos \\
      --ambiguous Thumos14reduced-Annotations/Ambiguous_test.txt --subset test --json -
"""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

import gaufuse_ext as gx
from gaufuse.annotation_sources import load_any_ground_truth
from gaufuse.cli.options import parse_thresholds
from gaufuse.files import write_json
from gaufuse.report import map_table
from gaufuse_ext.annotations import VideoAnnotation, load_predictions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", metavar="PREDICTIONS")
    parser.add_argument("ground_truth", metavar="GROUND_TRUTH")
    parser.add_argument(
        "--protocol",
        choices=("activitynet", "thumos"),
        default="activitynet",
        help="activitynet: seconds, real-valued IoU; thumos: W-TALC's, in snippets "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--iou-thresholds",
        type=parse_thresholds,
        default=parse_thresholds("0.1:0.1:0.7"),
        metavar="FIRST:STEP:LAST",
        help="tIoU thresholds, or numbers with commas (default 0.1:0.1:0.7)",
    )
    parser.add_argument("--subset", metavar="NAME", help="evaluate on this subset")
    parser.add_argument(
        "--ambiguous", metavar="FILE", help="THUMOS14's Ambiguous_test.txt (thumos protocol)"
    )
    parser.add_argument("--per-class", action="store_true", help="print each class, too")
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - for stdout")


def run(options: argparse.Namespace) -> None:
    console = Console(stderr=options.json == "-")
    predictions = load_predictions(options.predictions)
    truth = load_any_ground_truth(options.ground_truth, options.subset)
    if options.subset is None:
        truth = _only_subset_touched(truth, predictions, console)
    result = gx.detection_map(
        {"results": predictions},
        {"database": truth},
        options.iou_thresholds,
        options.protocol,
        ambiguous=options.ambiguous,
    )
    if result.ignored_videos:
        console.print(
            f"{result.ignored_videos} videos with predictions have no ground truth: left out"
        )
    _print(console, result, options)
    if options.json:
        _write(options.json, result, options)


def _only_subset_touched(
    truth: dict[str, VideoAnnotation], predictions: dict, console: Console
) -> dict[str, VideoAnnotation]:
    touched = {truth[video].subset for video in predictions if video in truth}
    if len(touched) != 1 or touched == {video.subset for video in truth.values()}:
        return truth
    (subset,) = touched
    console.print(f"all predictions are for subset {subset!r}: evaluated on that one")
    return {video: entry for video, entry in truth.items() if entry.subset == subset}


def _print(console: Console, result: gx.DetectionMap, options: argparse.Namespace) -> None:
    rows = [(f"all {len(result.classes)} classes", result.map, result.average_map)]
    if options.per_class:
        rows = [
            (name, values, values.mean())
            for name, values in zip(result.classes, result.per_class, strict=True)
        ] + rows
    table: Table = map_table(rows, result.iou_thresholds)
    table.caption = f"{options.protocol} protocol"
    console.print(table)


def _write(target: str, result: gx.DetectionMap, options: argparse.Namespace) -> None:
    value = {
        "map": result.map.tolist(),
        "average_map": result.average_map,
        "iou_thresholds": [round(threshold, 6) for threshold in result.iou_thresholds.tolist()],
        "protocol": options.protocol,
        "subset": options.subset,
        "per_class": dict(zip(result.classes, result.per_class.tolist(), strict=True)),
        "ignored_videos": result.ignored_videos,
    }
    if target == "-":
        json.dump(value, sys.stdout, indent=1)
        print()
    else:
        write_json(target, value)
