"""Two detectors fused: every method of `gaufuse fuse` beside each file as it is.

On the test videos of THUMOS14, the only ones that both files have. Settings are chosen by
cross-validation over these videos and counted where they were not chosen ("held out"); "best" are
the settings that are best on all of them, which flatters; "default" knows nothing of the videos.
Intervals are 95 % of the paired difference to the better file, over resampled videos, for the
held-out detections.

  GAUFUSE_DATA_ROOT=... python benchmarks/fusion_methods.py
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gaufuse_ext as gx
from gaufuse.cli.tune import describe
from gaufuse.data.detection_files import load_detections
from gaufuse.localization.fusion import fuse_detections
from gaufuse.localization.fusion_settings import FusionSettings
from gaufuse.localization.pooled_detections import PooledDetections, pool, with_common_ids
from gaufuse.localization.tune_fusion import (
    SPACES,
    average_maps,
    grid,
    held_out_detections,
    random_settings,
    tune,
)
from gaufuse.utils.console import ProgressLine, SlimTable, make_console
from gaufuse_ext.annotations import VideoAnnotation, load_ground_truth
from gaufuse_ext.evaluation.bootstrap import bootstrap_weights
from gaufuse_ext.flat_segments import FlatSegments

THRESHOLDS = np.array(gx.threshold_range(0.1, 0.1, 0.7))
RESAMPLES = 1000


@dataclass(frozen=True)
class Row:
    name: str
    default: float | None
    best: float | None
    held_out: float
    difference: tuple[float, float] | None  # to the better file
    settings: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100, help="of random search, with weights")
    options = parser.parse_args()
    if "GAUFUSE_DATA_ROOT" not in os.environ:
        raise SystemExit("set GAUFUSE_DATA_ROOT to the folder of the real data")
    folder = Path(os.environ["GAUFUSE_DATA_ROOT"]) / "thumos14"
    truth = load_ground_truth(folder / "gt.json", "test")
    a, b = (load_detections(folder / f"detections_supervised_{x}.json.gz") for x in "ab")
    searches = [
        *(
            (f"{x} alone, soft-nms", pool([s]), grid(["soft-nms"], {}))
            for x, s in (("a", a), ("b", b))
        ),
        *((f"a and b, {method}", pool([a, b]), grid([method], {})) for method in SPACES),
        ("a and b, any method", pool([a, b]), grid(list(SPACES), {})),
        (
            "a and b, any method, weights",
            pool([a, b]),
            random_settings(list(SPACES), 2, {}, options.trials, options.seed),
        ),
    ]
    weights = bootstrap_weights(len(truth), RESAMPLES, options.seed)
    weights = np.concatenate([np.ones((len(truth), 1), np.int32), weights], axis=1)
    plain = [_values(source, truth, weights) for source in (a, b)]
    better = max(plain, key=lambda values: values[0])
    rows = [
        Row(f"{x} as it is", None, None, values[0], None, "")
        for x, values in zip("ab", plain, strict=True)
    ]
    console = make_console()
    total = sum(len(candidates) for _, _, candidates in searches)
    with ProgressLine(console, "settings", total) as line:
        for name, detections, candidates in searches:
            rows.append(_row(name, detections, candidates, truth, weights, better, options, line))
    console.print(_table(rows, options))


def _row(
    name: str,
    detections: PooledDetections,
    candidates: list[FusionSettings],
    truth: dict[str, VideoAnnotation],
    weights: np.ndarray,
    better: np.ndarray,
    options: argparse.Namespace,
    line: ProgressLine,
) -> Row:
    tuned = tune(
        detections,
        truth,
        candidates,
        THRESHOLDS,
        folds=options.folds,
        seed=options.seed,
        tell=line.advance,
    )
    methods = {candidate.method for candidate in candidates}
    default = None
    if len(methods) == 1:
        plain = fuse_detections(detections, FusionSettings(method=methods.pop()))
        default = float(_values(plain, truth, weights[:, :1])[0])
    held_out = _values(
        held_out_detections(detections, truth, tuned.by_fold, tuned.folds), truth, weights
    )
    changes = held_out - better
    below, above = np.quantile(changes[1:], [0.025, 0.975]).tolist()
    difference = 2.0 * changes[0] - above, 2.0 * changes[0] - below  # as `gaufuse report`
    chosen = describe(tuned.best.settings)
    return Row(name, default, tuned.best.everywhere, float(held_out[0]), difference, chosen)


def _values(found: FlatSegments, truth: dict, weights: np.ndarray) -> np.ndarray:
    """Average mAP of all videos, then of each resample."""
    return average_maps(with_common_ids(found, truth), weights, THRESHOLDS, "activitynet")


def _table(rows: list[Row], options: argparse.Namespace) -> SlimTable:
    table = SlimTable("average mAP (%), tIoU 0.1:0.1:0.7, THUMOS14 test videos")
    table.add_text()
    for heading in ("default", "best", "held out"):
        table.add_numbers(f"  {heading}")
    table.add_numbers("  held out - better file")
    table.add_text("  best settings")
    for row in rows:
        numbers = ("" if x is None else f"{x:.2f}" for x in (row.default, row.best, row.held_out))
        ends = "" if row.difference is None else "[{:+.2f}, {:+.2f}]".format(*row.difference)
        table.add_row(row.name, *numbers, ends, f"  {row.settings}")
    table.caption = (
        f"held out: {options.folds} parts of the test videos, each by what the others chose "
        f"(seed {options.seed}); there is no other split of these files"
    )
    return table


if __name__ == "__main__":
    main()
