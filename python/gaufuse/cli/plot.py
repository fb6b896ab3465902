"""Draw one video's timeline, as PNG or SVG.

Of a finished run: ground truth, CAS, proposals, fused instances, pseudo labels, what the last
refresh changed of them (delta), and detections, by the model of its chosen epoch. A training
video's pseudo labels and delta are those that the model was trained on. Without a run, ground truth
and detections, from files of `gaufuse evaluate`'s forms.

The height of a bar is its score, beside the best one of its kind in the video.

  gaufuse plot runs/first video_validation_0000051 -o timeline.png
  gaufuse plot runs/first video_test_0000004 --class Diving --start 20 --end 60 -o timeline.svg
  gaufuse plot VIDEO --predictions detections.json --ground-truth annotations.json -o timeline.png
"""

from __future__ import annotations

import argparse

from gaufuse.cli.options import add_device, pick_device
from gaufuse.data.detection_files import load_detections
from gaufuse.data.ground_truth import load_any_ground_truth
from gaufuse.report.run_facts import read_run
from gaufuse.report.run_model import RunModel, run_data, timeline_from_files
from gaufuse.report.timeline import Timeline
from gaufuse.report.timeline_plot import check_plot, save_timeline
from gaufuse.utils.console import make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", nargs="?", help="folder of a finished run")
    parser.add_argument("video", metavar="VIDEO")
    parser.add_argument("--output", "-o", required=True, metavar="OUT", help=".png or .svg")
    parser.add_argument("--predictions", metavar="FILE", help="detections, without a run")
    parser.add_argument("--ground-truth", metavar="FILE", help="annotations, without a run")
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="NAME",
        help="draw this class; may be given several times (default: those annotated, then those "
        "best detected)",
    )
    parser.add_argument("--start", type=float, metavar="SECONDS", help="draw from here")
    parser.add_argument("--end", type=float, metavar="SECONDS", help="draw to here")
    parser.add_argument("--data", metavar="DIR", help="where the run's data set folder is now")
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    check_plot(options.output)
    timeline = _from_files(options) if options.folder is None else _from_run(options)
    save_timeline(timeline, options.output, (options.start, options.end))
    classes = len(timeline.classes)
    make_console().print(
        f"{timeline.video}: {timeline.seconds:.1f} s, {classes} "
        f"{'class' if classes == 1 else 'classes'}: {options.output}",
        soft_wrap=True,
    )


def _from_run(options: argparse.Namespace) -> Timeline:
    if options.predictions or options.ground_truth:
        raise ValueError("--predictions and --ground-truth are instead of RUN: leave it out")
    facts = read_run(options.folder)
    model = RunModel.load(facts, run_data(facts, options.data), pick_device(options.device))
    return model.timeline(options.video, options.classes)


def _from_files(options: argparse.Namespace) -> Timeline:
    if not options.predictions and not options.ground_truth:
        raise ValueError("name a RUN before the video, or --predictions, --ground-truth or both")
    found = load_detections(options.predictions).to_videos() if options.predictions else {}
    truth = load_any_ground_truth(options.ground_truth) if options.ground_truth else {}
    return timeline_from_files(options.video, found, truth, options.classes)
