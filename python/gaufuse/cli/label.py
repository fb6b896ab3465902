"""Make snippet pseudo labels of scored segments, or of activation sequences.

INPUT is ActivityNet-style JSON of scored segments (plain or gzip), or a folder of class activation
sequences <video>.npy (snippets x classes), with --classes. Segments are fused (Gaussian weighted
fusion), then LinPro turns the instances into snippet labels.

OUT ending in .npz is one archive: an array (snippets x classes) per video, and "classes". Any other
OUT is a folder of <video>.npy with labels.json, which names classes and videos.

  gaufuse label proposals.json.gz -o labels.npz --annotations gt.json
  gaufuse label cas/ --classes classes.txt -o labels/
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

import gaufuse_ext as gx
from gaufuse.annotation_sources import load_any_ground_truth
from gaufuse.cli.options import (
    add_fusion,
    add_linpro,
    fuse_groups,
    linpro_options,
    parse_thresholds,
)
from gaufuse.files import ensure_writable_folder, write_atomically, write_json
from gaufuse.report import ProgressLine, make_console
from gaufuse.safe_load import load_array
from gaufuse.segment_groups import group_segments
from gaufuse_ext.annotations import Segments, VideoAnnotation, load_predictions
from gaufuse_ext.class_names import few, load_label_map, unknown_classes, with_names

MOST_LABELS = 1 << 22  # padded labels at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT")
    parser.add_argument("--output", "-o", required=True, metavar="OUT", help="folder, or .npz")
    parser.add_argument(
        "--annotations",
        metavar="FILE",
        help="ground truth (JSON or W-TALC folder): labels only for the classes of each video, and "
        "durations where it has them",
    )
    parser.add_argument(
        "--label-map",
        metavar="FILE",
        help="names of class ids, for segments whose labels are ids (`gaufuse evaluate --help`)",
    )
    parser.add_argument(
        "--classes", metavar="FILE", help="class names, one a line, in the order of the columns"
    )
    parser.add_argument(
        "--snippet-seconds",
        type=float,
        default=0.64,
        help="length of a snippet; 16 frames at 25 a second by default",
    )
    add_fusion(parser, temperature=0.2)
    parser.add_argument("--no-fusion", action="store_true", help="take the segments as they are")
    group = parser.add_argument_group("activation sequences")
    group.add_argument(
        "--cas-thresholds",
        type=parse_thresholds,
        default=parse_thresholds("0.001:0.002:0.039"),
        metavar="FIRST:STEP:LAST",
        help="thresholds of the proposals (default 0.001:0.002:0.039)",
    )
    add_linpro(parser)


def run(options: argparse.Namespace) -> None:
    if not 0.0 < options.snippet_seconds < math.inf:
        raise ValueError(f"--snippet-seconds must be positive, got {options.snippet_seconds}")
    console = make_console()
    truth = load_any_ground_truth(options.annotations) if options.annotations else None
    classes = _read_classes(options.classes) if options.classes else None
    if Path(options.input).is_dir():
        if classes is None:
            raise ValueError("a folder of activation sequences needs --classes")
        detections, lengths = _proposals_of_folder(Path(options.input), classes, options)
    else:
        detections = load_predictions(options.input)
        if options.label_map is not None:
            names = load_label_map(options.label_map)
            detections = with_names(detections, names, all_of=options.input)
        detections = _in_snippets(detections, options.snippet_seconds)
        lengths = _lengths(detections, truth, options.snippet_seconds)
    if truth is not None:
        _say_unknown_classes(console, detections, truth)
        detections = {video: _known(entry, video, truth) for video, entry in detections.items()}
    classes = classes or sorted({label for entry in detections.values() for label in entry.labels})
    labels, status = _make(detections, lengths, classes, options, console)
    _write(Path(options.output), labels, classes, options)
    counts = ", ".join(f"{count} {name}" for name, count in status.items())
    console.print(
        f"labels of {len(labels)} videos ({counts or 'no'} groups of a class and a video): "
        f"{options.output}"
    )


def _make(
    detections: dict[str, Segments],
    lengths: dict[str, int],
    classes: list[str],
    options: argparse.Namespace,
    console: Console,
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Labels (T, C) float32 by video, and how many groups ended in which status."""
    column = {name: c for c, name in enumerate(classes)}
    unknown = {x for entry in detections.values() for x in entry.labels} - set(column)
    if unknown:
        raise ValueError(
            f"{options.input} has class {min(unknown)!r}, which --classes does not list"
        )
    labels = {
        video: np.zeros((length, len(classes)), dtype=np.float32)
        for video, length in lengths.items()
    }
    status: dict[str, int] = {}
    total = sum(len(dict.fromkeys(entry.labels)) for entry in detections.values())
    with ProgressLine(console, "labels", total) as line:
        for groups in group_segments(detections):
            if not options.no_fusion:
                groups = fuse_groups(groups, options)
            own = [lengths[video] for video in groups.videos]
            at_once = max(1, MOST_LABELS // max(1, *own))
            for first in range(0, len(own), at_once):
                part = slice(first, first + at_once)
                solved = gx.linpro_labels(
                    groups.segments[part],
                    groups.scores[part],
                    max(own[part]),
                    groups.counts[part],
                    lengths=own[part],
                    **linpro_options(options),
                )
                for video, label, values, ended in zip(
                    groups.videos[part],
                    groups.labels[part],
                    solved.labels.numpy(),
                    solved.status,
                    strict=True,
                ):
                    labels[video][:, column[label]] = values[: lengths[video]]
                    status[str(ended)] = status.get(str(ended), 0) + 1
                    line.advance()
    return labels, status


def _in_snippets(detections: dict[str, Segments], seconds: float) -> dict[str, Segments]:
    # A boundary that was a whole snippet must stay one: 3 * 0.64 / 0.64 is not always 3.
    return {
        video: Segments(np.round(entry.segments / seconds, 6), entry.labels, entry.scores)
        for video, entry in detections.items()
    }


def _lengths(detections: dict[str, Segments], truth: dict | None, seconds: float) -> dict[str, int]:
    """Snippets of each video: by its duration, else up to its last segment's end."""
    lengths = {}
    for video, entry in detections.items():
        duration = truth[video].duration if truth is not None and video in truth else None
        last = float(entry.segments.max()) if len(entry.segments) else 0.0
        lengths[video] = math.ceil(last if duration is None else duration / seconds)
    return lengths


def _known(entry: Segments, video: str, truth: dict) -> Segments:
    own = set(truth[video].labels) if video in truth else set()
    keep = np.array([label in own for label in entry.labels], dtype=bool)
    labels = [label for label in entry.labels if label in own]
    return Segments(entry.segments[keep], labels, entry.scores[keep])


def _say_unknown_classes(
    console: Console, detections: dict[str, Segments], truth: dict[str, VideoAnnotation]
) -> None:
    """Such segments make no labels, whatever their scores."""
    known = {label for entry in truth.values() for label in entry.labels}
    unknown = unknown_classes(detections, known)
    if unknown:
        console.print(
            f"left out: {sum(unknown.values())} segments of classes that {len(truth)} annotated "
            f"videos never show: {few(unknown)}",
            soft_wrap=True,
        )


def _proposals_of_folder(
    folder: Path, classes: list[str], options: argparse.Namespace
) -> tuple[dict[str, Segments], dict[str, int]]:
    """Proposals of every activation sequence, scored by outer-inner contrast."""
    paths = sorted(folder.glob("*.npy"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no <video>.npy")
    detections, lengths = {}, {}
    for path in paths:
        cas = load_array(path)
        if cas.ndim != 2 or cas.shape[1] != len(classes) or cas.dtype.kind != "f":
            raise ValueError(
                f"{path} must hold floats of shape (snippets, {len(classes)}), got {cas.dtype} "
                f"{cas.shape}"
            )
        try:
            found = gx.threshold_proposals(
                torch.from_numpy(np.ascontiguousarray(cas.T, dtype=np.float64)),
                options.cas_thresholds,
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        counts = found.counts.tolist()
        detections[path.stem] = Segments(
            np.concatenate([found.segments[c, :n].numpy() for c, n in enumerate(counts)]),
            [classes[c] for c, n in enumerate(counts) for _ in range(n)],
            np.concatenate([found.scores[c, :n].numpy() for c, n in enumerate(counts)]),
        )
        lengths[path.stem] = len(cas)
    return detections, lengths


def _read_classes(path: str) -> list[str]:
    classes = [line.strip() for line in Path(path).read_text().splitlines() if line.strip()]
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(f"{path} must name different classes, one a line")
    return classes


def _write(
    output: Path, labels: dict[str, np.ndarray], classes: list[str], options: argparse.Namespace
) -> None:
    if output.suffix == ".npz":
        ensure_writable_folder(output.parent)
        arrays = {"classes": np.array(classes), **labels}
        write_atomically(output, lambda file: np.savez_compressed(file, **arrays))
        return
    ensure_writable_folder(output)
    for video, values in labels.items():
        write_atomically(output / f"{video}.npy", lambda file, values=values: np.save(file, values))
    index = {
        "classes": classes,
        "snippet_seconds": options.snippet_seconds,
        "linpro": linpro_options(options),
        "videos": {video: len(values) for video, values in labels.items()},
    }
    write_json(output / "labels.json", index)
