"""Post-process detections: fuse or suppress overlapping segments.

PREDICTIONS are ActivityNet-style JSON files, plain or gzip; the detections of several files
(several models) are pooled. Each class of each video is one group; all groups go through the
kernels at once.

  gaufuse fuse detections.json -o fused.json
  gaufuse fuse model_a.json.gz model_b.json.gz -o both.json.gz --overlap iou --threshold 0.5
  gaufuse fuse detections.json -o kept.json --method nms --threshold 0.45
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console

import gaufuse_ext as gx
from gaufuse.cli.options import add_fusion, fuse_groups
from gaufuse.localization.detection_groups import DetectionGroups, group_detections
from gaufuse.utils.console import make_console
from gaufuse.utils.files import write_json
from gaufuse_ext.annotations import Segments, load_predictions
from gaufuse_ext.class_names import few, load_label_map, with_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", nargs="+", metavar="PREDICTIONS")
    parser.add_argument("--output", "-o", required=True, metavar="OUT", help="JSON, or JSON.gz")
    parser.add_argument(
        "--method",
        choices=("fusion", "nms"),
        default="fusion",
        help="Gaussian weighted fusion, or NMS at --threshold (default %(default)s)",
    )
    parser.add_argument(
        "--label-map",
        metavar="FILE",
        help="names of class ids, for labels that are ids (`gaufuse evaluate --help`)",
    )
    parser.add_argument(
        "--top", type=int, metavar="N", help="keep the N best detections of each video"
    )
    add_fusion(parser, temperature=0.2)


def run(options: argparse.Namespace) -> None:
    if options.top is not None and options.top < 1:
        raise ValueError(f"--top must be at least 1, got {options.top}")
    console = make_console()
    sources = [load_predictions(path) for path in options.predictions]
    if options.label_map is not None:
        names = load_label_map(options.label_map)
        sources = [
            with_names(source, names, all_of=path)
            for path, source in zip(options.predictions, sources, strict=True)
        ]
    _say_nothing_in_common(console, options.predictions, sources)
    detections = pool(sources)
    before = sum(len(entry.labels) for entry in detections.values())
    results: dict[str, list[dict]] = {video: [] for video in detections}
    for groups in group_detections(detections):
        for video, label, segment, score in _process(groups, options):
            results[video].append({"segment": segment, "label": label, "score": score})
    for video, entries in results.items():
        entries.sort(key=lambda entry: -entry["score"])
        results[video] = entries[: options.top]
    write_json(options.output, {"version": "gaufuse", "results": results})
    after = sum(map(len, results.values()))
    console.print(f"{before} detections in, {after} out: {options.output}", soft_wrap=True)


def _say_nothing_in_common(
    console: Console, paths: list[str], sources: list[dict[str, Segments]]
) -> None:
    """Segments of one class in one video are fused: models that name classes or videos in different
    ways would only be put side by side."""
    for path, other in zip(paths[1:], sources[1:], strict=True):
        for what, ours, theirs in (
            ("video", set(sources[0]), set(other)),
            ("class", _classes(sources[0]), _classes(other)),
        ):
            if ours and theirs and not ours & theirs:
                console.print(
                    f"warning: {path} has no {what} in common with {paths[0]}, so nothing of the "
                    f"two is fused: {few(sorted(theirs))}; {few(sorted(ours))}",
                    soft_wrap=True,
                )


def _classes(detections: dict[str, Segments]) -> set[str]:
    return {label for entry in detections.values() for label in entry.labels}


def pool(sources: list[dict[str, Segments]]) -> dict[str, Segments]:
    """The detections of several models, video by video."""
    pooled: dict[str, Segments] = {}
    for source in sources:
        for video, entry in source.items():
            if video in pooled:
                first = pooled[video]
                entry = Segments(
                    np.concatenate([first.segments, entry.segments]),
                    first.labels + entry.labels,
                    np.concatenate([first.scores, entry.scores]),
                )
            pooled[video] = entry
    return pooled


def _process(groups: DetectionGroups, options: argparse.Namespace):
    """(video, label, segment, score) of what is left."""
    if options.method == "nms":
        keep = gx.nms(groups.segments, groups.scores, options.threshold, groups.counts)
        counts = (keep >= 0).sum(1)
        index = keep.clamp(min=0)
        segments = groups.segments.gather(1, index.unsqueeze(-1).expand(-1, -1, 2))
        scores = groups.scores.gather(1, index)
    else:
        fused = fuse_groups(groups, options, length_offset=0.0)  # seconds: real intervals
        segments, scores, counts = fused.segments, fused.scores, fused.counts
    for g, count in enumerate(counts.tolist()):
        rows = zip(segments[g, :count].tolist(), scores[g, :count].tolist(), strict=True)
        for segment, score in rows:
            yield groups.videos[g], groups.labels[g], segment, score
