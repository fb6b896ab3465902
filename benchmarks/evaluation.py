#!/usr/bin/env python3
"""How fast detections are evaluated: the native evaluator, from arrays and from files, beside the
NumPy way that it took the place of and a straightforward loop (the official evaluator's algorithm).

Generated detections, as many as of ActivityNet's validation set, and, where GAUFUSE_DATA_ROOT is
set, real ones of THUMOS14. The slow ways run once, the others several times, of which the least
counts; all must give the same mAP.

  python benchmarks/evaluation.py --threads 2
  python benchmarks/evaluation.py --videos 500 --slow --json evaluation.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import gaufuse_ext as gx
from gaufuse.utils.console import SlimTable, make_console
from gaufuse.utils.files import write_json
from gaufuse_ext.annotations import (
    Segments,
    load_ground_truth,
    load_predictions,
)
from gaufuse_ext.flat_predictions import load_flat_predictions
from gaufuse_ext.reference.detection_map import average_precision
from gaufuse_ext.reference.segment_iou import segment_iou

DETECTIONS_PER_VIDEO = 100
INSTANCES_PER_VIDEO = 7654 / 4728  # ActivityNet 1.3's validation set
REPEATS = 7


def generated(videos: int, classes: int) -> tuple[gx.FlatSegments, gx.FlatSegments]:
    """A video has instances of one class; of its detections half are of that class, and half of
    those near an instance."""
    rng = np.random.default_rng(0)
    names = [f"v_{video:011d}" for video in range(videos)]
    labels = [f"Activity number {label}" for label in range(classes)]
    own_class = rng.integers(0, classes, videos).astype(np.int32)

    count = round(videos * INSTANCES_PER_VIDEO)
    true_videos = np.sort(np.append(rng.integers(0, videos, count - videos), np.arange(videos)))
    starts = rng.uniform(0, 100, count)
    true_segments = np.stack([starts, starts + rng.uniform(1, 60, count)], axis=1)
    truth = gx.FlatSegments(true_segments, true_videos, own_class[true_videos], None, names, labels)

    total = videos * DETECTIONS_PER_VIDEO
    found_videos = np.repeat(np.arange(videos), DETECTIONS_PER_VIDEO)
    right = rng.random(total) < 0.5
    found_classes = np.where(right, own_class[found_videos], rng.integers(0, classes, total))
    starts = rng.uniform(0, 100, total)
    segments = np.stack([starts, starts + rng.uniform(1, 60, total)], axis=1)
    near = np.flatnonzero(right & (rng.random(total) < 0.5))
    first = np.searchsorted(true_videos, found_videos[near])
    segments[near] = np.sort(true_segments[first] + rng.normal(0, 6, (len(near), 2)), axis=1)
    scores = rng.random(total) + 0.5 * np.isin(np.arange(total), near)
    return gx.FlatSegments(segments, found_videos, found_classes, scores, names, labels), truth


def by_class(videos: dict[str, Segments]) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    table: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for video, entry in videos.items():
        labels = np.array(entry.labels, dtype=object)
        for label in dict.fromkeys(entry.labels):
            chosen = labels == label
            table.setdefault(label, {})[video] = entry.segments[chosen], entry.scores[chosen]
    return table


def numpy_map(found: dict, truth: dict, thresholds: np.ndarray) -> np.ndarray:
    """What `gx.detection_map` did before: video by video in NumPy."""
    own, annotated = by_class(found), by_class(truth)
    return np.array(
        [
            100.0 * average_precision(own.get(label, {}), annotated[label], thresholds)
            for label in sorted(annotated)
        ]
    )


def looped_map(found: dict, truth: dict, thresholds: np.ndarray) -> np.ndarray:
    """Detection by detection, threshold by threshold."""
    own, annotated = by_class(found), by_class(truth)
    rows = []
    for label in sorted(annotated):
        ranked = [
            (score, video, segment)
            for video, (segments, scores) in own.get(label, {}).items()
            for segment, score in zip(segments, scores, strict=True)
        ]
        ranked.sort(key=lambda entry: -entry[0])
        total = sum(len(segments) for segments, _ in annotated[label].values())
        free = {
            video: np.ones((len(thresholds), len(segments)), dtype=bool)
            for video, (segments, _) in annotated[label].items()
        }
        hits = np.zeros((len(ranked), len(thresholds)))
        for n, (_, video, segment) in enumerate(ranked):
            if video not in free:
                continue
            overlap = segment_iou(segment, annotated[label][video][0])[0]
            preference = (-overlap).argsort(kind="stable")
            for h, threshold in enumerate(thresholds):
                for instance in preference:
                    if overlap[instance] < threshold:
                        break
                    if free[video][h, instance]:
                        free[video][h, instance] = False
                        hits[n, h] = 1
                        break
        found_so_far = hits.cumsum(axis=0)
        precision = found_so_far / np.arange(1, len(ranked) + 1)[:, None]
        recall = found_so_far / total
        for n in range(len(ranked) - 2, -1, -1):
            precision[n] = np.maximum(precision[n], precision[n + 1])
        steps = np.diff(recall, axis=0, prepend=np.zeros((1, len(thresholds))))
        rows.append(100.0 * (steps * precision).sum(axis=0))
    return np.array(rows)


def timed(function: Callable[[], object], repeats: int = REPEATS) -> tuple[float, object]:
    """The least time in seconds, and the result."""
    times, result = [], None
    for _ in range(repeats):
        begin = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - begin)
    return min(times), result


class Report:
    def __init__(self) -> None:
        self.rows: list[dict] = []

    def add(self, case: str, way: str, seconds: float, precision: np.ndarray | None = None) -> None:
        """`precision`: (C, H), which must be the case's first one's."""
        row = {"case": case, "way": way, "milliseconds": 1e3 * seconds}
        if precision is not None:
            row["average_map"] = float(precision.mean())
            first = next((r for r in self.rows if r["case"] == case and "average_map" in r), row)
            if abs(first["average_map"] - row["average_map"]) > 1e-9:
                raise SystemExit(f"{case}, {way}: {row['average_map']}, not {first['average_map']}")
        self.rows.append(row)

    def table(self) -> SlimTable:
        table = SlimTable()
        table.add_text("case")
        table.add_text("way")
        for header in ("ms", "average mAP"):
            table.add_numbers("  " + header)
        for row in self.rows:
            score = f"{row['average_map']:.3f}" if "average_map" in row else ""
            table.add_row(row["case"], "  " + row["way"], f"{row['milliseconds']:.1f}", score)
        return table


def measure_arrays(
    report: Report,
    case: str,
    found: gx.FlatSegments,
    truth: gx.FlatSegments,
    thresholds: np.ndarray,
) -> None:
    seconds, _ = timed(lambda: gx.match_detections(found, truth, thresholds))
    report.add(case, "matching, from arrays", seconds)
    seconds, result = timed(lambda: gx.detection_map(found, truth, thresholds))
    report.add(case, "detection_map, from arrays", seconds, result.per_class)
    seconds, _ = timed(lambda: gx.detection_map(found, truth, thresholds, bootstrap=1000), 2)
    report.add(case, "the same with 1,000 resamples", seconds)


def measure_slow(report: Report, case: str, found: dict, truth: dict, thresholds: np.ndarray):
    seconds, precision = timed(lambda: numpy_map(found, truth, thresholds), 1)
    report.add(case, "NumPy, as before", seconds, precision)
    seconds, precision = timed(lambda: looped_map(found, truth, thresholds), 1)
    report.add(case, "a straightforward loop", seconds, precision)


def measure_generated(report: Report, options: argparse.Namespace) -> None:
    case = f"{options.videos} videos"
    thresholds = np.array(gx.threshold_range(0.5, 0.05, 0.95))
    found, truth = generated(options.videos, options.classes)
    measure_arrays(report, case, found, truth, thresholds)
    with tempfile.TemporaryDirectory() as folder:
        predictions, annotations = Path(folder) / "p.json", Path(folder) / "a.json"
        write_files(found, truth, predictions, annotations)
        megabytes = predictions.stat().st_size / 1e6
        seconds, _ = timed(lambda: load_flat_predictions(predictions), 3)
        report.add(case, f"{megabytes:.0f} MB of JSON into arrays", seconds)
        seconds, _ = timed(lambda: load_predictions(predictions), 1)
        report.add(case, "the same by the general reader", seconds)
        seconds, result = timed(lambda: gx.detection_map(predictions, annotations, thresholds), 3)
        report.add(case, "detection_map, from files", seconds, result.per_class)
        if options.slow:
            own, annotated = load_predictions(predictions), load_ground_truth(annotations)
            measure_slow(report, case, own, annotated, thresholds)


def write_files(
    found: gx.FlatSegments, truth: gx.FlatSegments, predictions: Path, annotations: Path
) -> None:
    results = {
        video: [
            {"segment": pair, "label": label, "score": score}
            for pair, label, score in zip(
                own.segments.tolist(), own.labels, own.scores.tolist(), strict=True
            )
        ]
        for video, own in found.to_videos().items()
    }
    predictions.write_text(json.dumps({"version": "generated", "results": results}))
    database = {
        video: {
            "subset": "validation",
            "annotations": [
                {"segment": pair, "label": label}
                for pair, label in zip(own.segments.tolist(), own.labels, strict=True)
            ],
        }
        for video, own in truth.to_videos().items()
    }
    annotations.write_text(json.dumps({"database": database}))


def with_ids_of(truth: gx.FlatSegments, found: gx.FlatSegments) -> gx.FlatSegments:
    """The same detections, whose ids are the ground truth's."""
    names = [
        list(dict.fromkeys((*known, *own)))
        for known, own in zip(truth.names, found.names, strict=True)
    ]
    places = [{name: i for i, name in enumerate(own)} for own in names]
    return gx.FlatSegments(
        found.segments,
        np.array([places[0][name] for name in found.names[0]])[found.video_ids],
        np.array([places[1][name] for name in found.names[1]])[found.class_ids],
        found.scores,
        *names,
    )


def measure_real(report: Report, root: Path, options: argparse.Namespace) -> None:
    thresholds = np.array(gx.threshold_range(0.1, 0.1, 0.7))
    truth = load_ground_truth(root / "thumos14" / "gt.json", "test")
    for name in ("proposals_weak_test", "detections_supervised_a"):
        flat = load_flat_predictions(root / "thumos14" / f"{name}.json.gz")
        annotated = gx.FlatSegments.from_videos(truth)
        measure_arrays(report, name, with_ids_of(annotated, flat), annotated, thresholds)
        if options.slow:
            known = {video: own for video, own in flat.to_videos().items() if video in truth}
            measure_slow(report, name, known, truth, thresholds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=4728)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--slow", action="store_true", help="the slow ways, too (minutes)")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = Report()
    measure_generated(report, options)
    if root := os.environ.get("GAUFUSE_DATA_ROOT"):
        measure_real(report, Path(root), options)
    make_console().print(report.table())
    if options.json:
        write_json(options.json, {"threads": options.threads, "rows": report.rows})


if __name__ == "__main__":
    main()
