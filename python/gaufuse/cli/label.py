"""Make snippet pseudo labels of scored segments, or of activation sequences.

INPUT is a file of scored segments, as PREDICTIONS of `gaufuse evaluate`, or a folder of class
activation sequences <video>.npy (snippets x classes), with --classes. Segments are fused (Gaussian
weighted fusion), then LinPro turns the instances into snippet labels.

Activation sequences become labels as in training: by [labels], [instances] and [linpro] of
--config, a preset, or the config.toml of the run whose activations they are. Of segments, [linpro]
alone is used; their fusion is set here (temperature 0.2, overlap over the candidate, threshold
0.25).

OUT ending in .npz is one archive: an array (snippets x classes) per video, and "classes". Any other
OUT is a folder of <video>.npy with labels.json, which names classes, videos and settings.

  gaufuse label proposals.json.gz -o labels.npz --annotations gt.json
  gaufuse label cas/ --classes classes.txt -o labels/ --config runs/first/config.toml
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

import gaufuse_ext as gx
from gaufuse.cli.options import (
    add_fusion,
    add_label_map,
    add_linpro,
    add_settings,
    add_templates,
    fuse_groups,
    linpro_given,
    parse_thresholds,
)
from gaufuse.config import Config, load_config
from gaufuse.data.detection_files import load_detections
from gaufuse.labels.label_files import (
    activation_files,
    check_output,
    read_activations,
    write_labels,
)
from gaufuse.labels.pipeline import labels_of, temperature_at
from gaufuse.labels.video_classes import SNIPPET_SECONDS, LabelAnnotations
from gaufuse.localization.detection_groups import group_detections
from gaufuse.localization.instances import ActivationGroups
from gaufuse.utils.console import ProgressLine, make_console
from gaufuse.utils.name_lists import read_class_names
from gaufuse.utils.video_names import check_safe_names
from gaufuse_ext.annotations import Segments
from gaufuse_ext.array_types import Array
from gaufuse_ext.class_names import few, load_label_map, unknown_classes, with_names
from gaufuse_ext.name_templates import by_own_names

MOST_LABELS = 1 << 22  # padded labels at a time
PRESET = "thumos14"
SEGMENT_TEMPERATURE = 0.2  # of scores that are no contrasts of activations

T = TypeVar("T")
Labels = dict[str, npt.NDArray[np.float32]]  # (T, C) float32 by video


@dataclass(frozen=True)
class Made:
    """What is written."""

    labels: Labels
    classes: list[str]
    status: Counter[str]  # groups by how they ended
    settings: dict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT")
    parser.add_argument("--output", "-o", required=True, metavar="OUT", help="folder, or .npz")
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="ground truth (JSON, W-TALC folder, data set folder): labels only for the classes of "
        "each video, and durations where it has them",
    )
    add_label_map(parser, "labels of segments")
    parser.add_argument(
        "--classes", metavar="FILE", help="class names, one a line, in the order of the columns"
    )
    parser.add_argument(
        "--snippet-seconds",
        type=float,
        help=f"length of a snippet (default: the data set's of --annotations, else "
        f"{SNIPPET_SECONDS}: 16 frames at 25 a second)",
    )
    add_templates(parser, "INPUT's", "the annotations'")
    parser.add_argument(
        "--config",
        default=PRESET,
        help="TOML file, or preset, for [labels], [instances] and [linpro] (default: %(default)s; "
        "for activations of a model of yours take its run's config.toml)",
    )
    add_settings(parser, "change a setting of --config; may be given several times")
    add_fusion(parser)
    parser.add_argument("--no-fusion", action="store_true", help="take the segments as they are")
    group = parser.add_argument_group("activation sequences")
    group.add_argument(
        "--cas-thresholds",
        type=_range,
        metavar="FIRST:STEP:LAST",
        help="thresholds of the proposals (default: the configuration's)",
    )
    group.add_argument(
        "--refresh",
        type=int,
        default=1,
        metavar="N",
        help="the temperature is that of training's N-th refresh (default %(default)s)",
    )
    add_linpro(parser)


def run(options: argparse.Namespace) -> None:
    seconds = options.snippet_seconds
    if seconds is not None and not 0.0 < seconds < math.inf:
        raise ValueError(f"--snippet-seconds must be positive, got {seconds}")
    if options.refresh < 1:
        raise ValueError(f"--refresh counts from 1, got {options.refresh}")
    console = make_console()
    config = _configuration(options)
    truth = None
    if options.annotations:
        truth = LabelAnnotations.load(options.annotations, options.annotation_template)
    classes = read_class_names(options.classes) if options.classes else None
    if Path(options.input).is_dir():
        if classes is None:
            raise ValueError("a folder of activation sequences needs --classes")
        if options.no_fusion:
            raise ValueError("--no-fusion is for segments: INPUT is a folder of activations")
        made = _of_activations(truth, classes, config, options, console)
    else:
        made = _of_segments(truth, classes, config, options, console)
    write_labels(Path(options.output), made.labels, made.classes, made.settings)
    counts = ", ".join(f"{count} {name}" for name, count in made.status.items())
    console.print(
        f"labels of {len(made.labels)} videos ({counts or 'no'} groups of a class and a video): "
        f"{options.output}",
        soft_wrap=True,
    )


def _configuration(options: argparse.Namespace) -> Config:
    """--config with what the other options change."""
    changes = [f"linpro.{name}={value}" for name, value in linpro_given(options).items()]
    given = {
        "temperature": None if options.temperature is None else [options.temperature],
        "fusion_overlap": options.overlap,
        "fusion_threshold": options.threshold,
        "thresholds": options.cas_thresholds,
    }
    changes += [f"labels.{name}={value}" for name, value in given.items() if value is not None]
    return load_config(options.config, [*options.set, *changes])


def _of_activations(
    truth: LabelAnnotations | None,
    classes: list[str],
    config: Config,
    options: argparse.Namespace,
    console: Console,
) -> Made:
    temperature = temperature_at(config.labels, options.refresh - 1)
    files = _named(activation_files(Path(options.input)), options)
    files = _annotated(files, truth, classes, options, console)
    check_output(Path(options.output), list(files))
    status: Counter[str] = Counter()
    labels: Labels = {}
    with ProgressLine(console, "labels", len(files)) as line:
        for video, path in files.items():
            cas = read_activations(path, classes)
            labels[video] = np.zeros(cas.shape, dtype=np.float32)
            known = set(classes) if truth is None else set(truth.videos[video].labels)
            columns = [c for c, name in enumerate(classes) if name in known]
            if columns:
                groups = _groups(cas, columns)
                made = labels_of(groups, config, temperature)
                labels[video][:, columns] = made.labels.numpy().T
                status.update(made.status)
            line.advance()
    settings = {
        "labels": config.labels.model_dump(mode="json") | {"temperature": temperature},
        "instances": config.instances.model_dump(),
        "linpro": config.linpro.model_dump(),
    }
    return Made(labels, classes, status, settings)


def _groups(cas: Array, columns: list[int]) -> ActivationGroups:
    """Those classes of one video (T, C). How sure a model is that the video shows them is not
    known: they are taken to be there."""
    dtype = np.float64 if cas.dtype.itemsize >= 8 else np.float32  # training's
    activations = torch.from_numpy(np.ascontiguousarray(cas[:, columns].T, dtype=dtype))
    count, length = activations.shape
    return ActivationGroups(
        video=torch.zeros(count, dtype=torch.int64),
        label=torch.tensor(columns),
        score=activations.new_ones(count),
        activations=activations,
        lengths=torch.full((count,), length),
    )


def _of_segments(
    truth: LabelAnnotations | None,
    classes: list[str] | None,
    config: Config,
    options: argparse.Namespace,
    console: Console,
) -> Made:
    detections = _named(load_detections(options.input).to_videos(), options)
    if options.label_map is not None:
        detections = with_names(detections, load_label_map(options.label_map), all_of=options.input)
    if truth is not None:
        _say_unknown_classes(console, detections, truth)
    found = sorted({label for entry in detections.values() for label in entry.labels})
    detections = _annotated(detections, truth, found, options, console)
    check_output(Path(options.output), list(detections))
    seconds = {video: _snippet_seconds(video, truth, options) for video in detections}
    detections = {
        # A boundary that was a whole snippet must stay one: 3 * 0.64 / 0.64 is not always 3.
        video: replace(entry, segments=np.round(entry.segments / seconds[video], 6))
        for video, entry in detections.items()
    }
    lengths = _lengths(detections, truth, seconds)
    _note_late_segments(detections, lengths, console)
    if truth is not None:
        detections = {
            video: _of_classes(entry, set(truth.videos[video].labels))
            for video, entry in detections.items()
        }
    classes = classes or sorted({label for entry in detections.values() for label in entry.labels})
    labels, status = _solve(detections, lengths, classes, config, options, console)
    different = set(seconds.values())
    settings = {
        "snippet_seconds": different.pop() if len(different) == 1 else seconds,
        "linpro": config.linpro.model_dump(),
    }
    return Made(labels, classes, status, settings)


def _solve(
    detections: dict[str, Segments],
    lengths: dict[str, int],
    classes: list[str],
    config: Config,
    options: argparse.Namespace,
    console: Console,
) -> tuple[Labels, Counter[str]]:
    """Labels by video, and how many groups ended in which status."""
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
    status: Counter[str] = Counter()
    total = sum(len(dict.fromkeys(entry.labels)) for entry in detections.values())
    with ProgressLine(console, "labels", total) as line:
        for groups in group_detections(detections):
            if not options.no_fusion:
                groups = fuse_groups(groups, _fusion(options))
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
                    **config.linpro.model_dump(),
                )
                for video, label, values, ended in zip(
                    groups.videos[part],
                    groups.labels[part],
                    solved.labels.numpy(),
                    solved.status,
                    strict=True,
                ):
                    labels[video][:, column[label]] = values[: lengths[video]]
                    status[str(ended)] += 1
                    line.advance()
    return labels, status


def _fusion(options: argparse.Namespace) -> argparse.Namespace:
    """The fusion's options with the defaults that suit the scores of detections."""
    defaults = {"temperature": SEGMENT_TEMPERATURE, "overlap": "candidate", "threshold": 0.25}
    given = {name: getattr(options, name) for name in defaults}
    return argparse.Namespace(
        **defaults | {name: value for name, value in given.items() if value is not None}
    )


def _named(items: Mapping[str, T], options: argparse.Namespace) -> dict[str, T]:
    """By the videos' own names.

    Raises:
        ValueError: a name that --template did not make, or that cannot be a file's.
    """
    named = by_own_names(items, options.template, options.input, "--template")
    check_safe_names(named, options.input)
    return named


def _annotated(
    items: dict[str, T],
    truth: LabelAnnotations | None,
    classes: Collection[str],
    options: argparse.Namespace,
    console: Console,
) -> dict[str, T]:
    """The videos that have annotations; says which have none, and which classes are not found."""
    if truth is None:
        return items
    absent = set(truth.check_names(list(items), options.input))
    kept = {video: item for video, item in items.items() if video not in absent}
    if absent:
        _say(console, f"left out, without annotations: {few(sorted(absent))}", len(absent))
    unlabelled = [video for video in kept if not truth.videos[video].labels]
    if unlabelled:
        _say(
            console,
            f"annotated with no class, all labels zero: {few(unlabelled)}",
            len(unlabelled),
        )
    unknown = truth.check_classes(kept, classes)
    if unknown:
        _say(
            console,
            f"classes of the annotations are not in the input: {few(unknown)}",
            len(unknown),
        )
    return kept


def _snippet_seconds(
    video: str, truth: LabelAnnotations | None, options: argparse.Namespace
) -> float:
    if options.snippet_seconds is not None:
        return options.snippet_seconds
    own = None if truth is None else truth.own_seconds.get(video)
    return SNIPPET_SECONDS if own is None else own


def _lengths(
    detections: dict[str, Segments], truth: LabelAnnotations | None, seconds: dict[str, float]
) -> dict[str, int]:
    """Snippets of each video: by its duration, else up to its last segment's end."""
    lengths = {}
    for video, entry in detections.items():
        known = None if truth is None else truth.num_snippets(video, seconds[video])
        if known is None:
            known = math.ceil(entry.segments.max()) if len(entry.segments) else 0
        lengths[video] = max(0, known)
    return lengths


def _note_late_segments(
    detections: dict[str, Segments], lengths: dict[str, int], console: Console
) -> None:
    late = [v for v, entry in detections.items() if (entry.segments[:, 0] >= lengths[v]).any()]
    if late:
        _say(console, f"with segments past their end, which label nothing: {few(late)}", len(late))


def _of_classes(entry: Segments, classes: set[str]) -> Segments:
    keep = np.array([label in classes for label in entry.labels], dtype=bool)
    labels = [label for label in entry.labels if label in classes]
    return Segments(entry.segments[keep], labels, entry.scores[keep])


def _range(text: str) -> list[float]:
    """first:step:last; also one number, or several that are evenly apart."""
    numbers = parse_thresholds(text)
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1.0
    even = [numbers[0] + i * step for i in range(len(numbers))]
    if step <= 0.0 or not np.allclose(numbers, even, rtol=0.0, atol=1e-9):
        raise argparse.ArgumentTypeError(f"must be evenly apart and rise, got {text!r}")
    if ":" in text:
        return [float(number) for number in text.split(":")]
    return [numbers[0], step, numbers[-1]]


def _say_unknown_classes(
    console: Console, detections: dict[str, Segments], truth: LabelAnnotations
) -> None:
    """Such segments make no labels, whatever their scores.

    Raises:
        ValueError: all are such.
    """
    truth.check_names(list(detections), "the input")
    known = {label for entry in truth.videos.values() for label in entry.labels}
    unknown = unknown_classes(detections, known)
    if unknown:
        console.print(
            f"left out: {sum(unknown.values())} segments of classes that {len(truth.videos)} "
            f"annotated videos never show: {few(unknown)}",
            soft_wrap=True,
        )


def _say(console: Console, what: str, count: int) -> None:
    console.print(f"{count} {what}", soft_wrap=True)
