"""Search the settings of `gaufuse fuse` on annotated videos.

Name the split whose annotations may be looked at: --subset has no default, so that nothing is
tuned on test videos unnoticed. What is chosen flatters itself there, so the table also has the
held-out mAP: each part of the videos processed by what the other parts chose (cross-validation).

  gaufuse tune val.json -g annotations.json --subset validation -o tuned.toml
  gaufuse tune a.json b.json -g annotations.json --subset validation -o tuned.toml \\
      --search random --trials 200 --seed 0
  gaufuse fuse test_a.json test_b.json -o fused.json --settings tuned.toml
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from gaufuse.cli.fuse import load_sources, say_nothing_in_common
from gaufuse.cli.options import add_iou_thresholds, add_label_map, add_protocol
from gaufuse.data.ground_truth import load_any_ground_truth
from gaufuse.localization.fusion_settings import FusionSettings, write_settings
from gaufuse.localization.pooled_detections import PooledDetections, pool, with_common_ids
from gaufuse.localization.tune_fusion import (
    SPACES,
    Tuned,
    average_maps,
    grid,
    random_settings,
    tune,
)
from gaufuse.utils.console import ProgressLine, SlimTable, make_console
from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.evaluation.detection_map import check_thresholds as thresholds_of

SHOWN = 5  # of the best


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", nargs="+", metavar="PREDICTIONS")
    parser.add_argument("--ground-truth", "-g", required=True, metavar="GROUND_TRUTH")
    parser.add_argument(
        "--subset", required=True, metavar="NAME", help="the videos to tune on; never guessed"
    )
    parser.add_argument(
        "--output", "-o", required=True, metavar="FILE", help="settings, TOML or JSON by the name"
    )
    add_label_map(parser)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=tuple(SPACES),
        default=list(SPACES),
        metavar="METHOD",
        help=f"{', '.join(SPACES)} (default: all)",
    )
    parser.add_argument(
        "--search",
        choices=("grid", "random"),
        default="grid",
        help="all combinations, with equal weights of the models; or --trials drawn ones, with "
        "weights (default %(default)s)",
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=100,
        metavar="N",
        help="of random search (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draws and of the folds (default %(default)s)"
    )
    parser.add_argument(
        "--folds", type=int, default=5, metavar="K", help="of the videos (default %(default)s)"
    )
    parser.add_argument(
        "--top", type=int, metavar="N", help="keep the N best detections of each video"
    )
    add_protocol(parser)
    add_iou_thresholds(parser, "tIoU thresholds, whose mean mAP is looked at")


def run(options: argparse.Namespace) -> None:
    for name in ("trials", "top"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if options.seed < 0:
        raise ValueError(f"--seed must not be negative, got {options.seed}")
    console = make_console()
    truth = load_any_ground_truth(options.ground_truth, options.subset)
    sources = load_sources(options.predictions, options.label_map)
    say_nothing_in_common(console, options.predictions, sources)
    everything = pool(sources)
    detections = _of_videos(everything, set(truth))
    fixed = {} if options.top is None else {"top": options.top}
    if options.search == "grid":
        candidates = grid(options.methods, fixed)
    else:
        candidates = random_settings(
            options.methods, len(sources), fixed, options.trials, options.seed
        )
    warning = _warning(options.subset)
    console.print(
        f"tuning on subset {options.subset!r} of {options.ground_truth}: {len(truth)} videos, "
        f"{len(candidates)} candidates",
        soft_wrap=True,
    )
    if warning:
        console.print(f"warning: {warning}", soft_wrap=True)
    thresholds = thresholds_of(options.iou_thresholds, options.protocol)
    with ProgressLine(console, "tuning", len(candidates)) as line:
        tuned = tune(
            detections,
            truth,
            candidates,
            thresholds,
            options.protocol,
            folds=options.folds,
            seed=options.seed,
            tell=line.advance,
        )
    alone = [_alone(pool([source]), truth, thresholds, options.protocol) for source in sources]
    _print(console, options, tuned, alone)
    about = {
        "subset": options.subset,
        "ground_truth": Path(options.ground_truth).name,
        "files": [Path(path).name for path in options.predictions],
        "videos": len(truth),
        "protocol": options.protocol,
        "iou_thresholds": thresholds.tolist(),
        "search": options.search,
        "candidates": len(candidates),
        "seed": options.seed,
        "folds": options.folds,
        "average_map": tuned.best.everywhere,
        "held_out_average_map": tuned.held_out,
        "average_map_of_each_file": alone,
        "note": warning or "average_map is on the videos that chose the settings",
    }
    write_settings(options.output, tuned.best.settings, {"tuned": about})
    console.print(
        f"tuned on subset {options.subset!r}: {options.output} (gaufuse fuse --settings)",
        soft_wrap=True,
    )


def _warning(subset: str) -> str | None:
    if not subset.lower().startswith("test"):
        return None
    return (
        f"subset {subset!r} looks like test videos: results on them with these settings are tuned, "
        "not tested; report the held-out mAP"
    )


def _of_videos(detections: PooledDetections, wanted: set[str]) -> PooledDetections:
    keep = np.array([video in wanted for video in detections.flat.videos], dtype=np.bool_)
    return detections.select(keep[detections.flat.video_ids])


def _alone(
    source: PooledDetections,
    truth: dict[str, VideoAnnotation],
    thresholds: np.ndarray,
    protocol: str,
) -> float:
    """A file's average mAP as it is."""
    common = with_common_ids(source.flat, truth)
    everything = np.ones((len(truth), 1), dtype=np.int32)
    return float(average_maps(common, everything, thresholds, protocol)[0])


def _print(console: Console, options: argparse.Namespace, tuned: Tuned, alone: list[float]) -> None:
    table = SlimTable(f"average mAP (%) on subset {options.subset}")
    table.add_text()
    table.add_numbers("mAP")
    for path, value in zip(options.predictions, alone, strict=True):
        table.add_row(f"{path} as it is", f"{value:.2f}")
    for trial in tuned.trials[:SHOWN]:
        table.add_row(describe(trial.settings), f"{trial.everywhere:.2f}")
    table.add_row(
        f"held out: each of {options.folds} parts by what the others chose",
        f"{tuned.held_out:.2f}",
        style="bold",
    )
    console.print(table)


def describe(settings: FusionSettings) -> str:
    """The settings that were chosen, in a line."""
    given = settings.model_dump(exclude_unset=True, mode="json")
    method = given.pop("method", settings.method)
    rest = (f"{name} {_short(value)}" for name, value in given.items())
    return ", ".join([method, *rest])


def _short(value: object) -> str:
    return "/".join(f"{x:g}" for x in value) if isinstance(value, list) else str(value)
