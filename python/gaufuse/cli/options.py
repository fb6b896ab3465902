"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

import torch

from gaufuse.config import LinproConfig
from gaufuse.localization.detection_groups import DetectionGroups
from gaufuse.utils.files import write_json
from gaufuse_ext import build_info, fuse_segments, thresholds
from gaufuse_ext.ops.fuse_segments import OVERLAPS
from gaufuse_ext.ops.linpro_labels import CONSTRAINTS, FORMULATIONS, PRICES, ROWS, WEIGHTS
from gaufuse_ext.thresholds import PROTOCOLS

LINPRO_OPTIONS = tuple(LinproConfig.model_fields)


def add_settings(parser: argparse.ArgumentParser, text: str) -> None:
    """--set, for `load_config`; text: its help."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help=text
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device, for `pick_device`."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: auto)")


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto": a GPU where there is one that the package can use.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if build_info()["cuda_available"] else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device must be auto, cpu or cuda[:N], got {name!r}") from None
    if device.type == "cuda" and not build_info()["cuda_available"]:
        raise ValueError("--device cuda: no CUDA device, or gaufuse-ext was built without CUDA")
    return device


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """--protocol of an evaluation."""
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="activitynet",
        help="activitynet: seconds, real-valued IoU; thumos: W-TALC's, in snippets "
        "(default %(default)s)",
    )


def add_iou_thresholds(parser: argparse.ArgumentParser, text: str) -> None:
    """--iou-thresholds, as text: each protocol makes other numbers of it; text: its help."""
    parser.add_argument(
        "--iou-thresholds",
        type=check_thresholds,
        default="0.1:0.1:0.7",
        metavar="FIRST:STEP:LAST",
        help=f"{text} (default %(default)s)",
    )


def add_label_map(parser: argparse.ArgumentParser, of: str = "labels") -> None:
    """--label-map, for `load_label_map`."""
    parser.add_argument(
        "--label-map",
        metavar="FILE",
        help=f"names of class ids, for {of} that are ids (`gaufuse evaluate --help`)",
    )


def add_templates(parser: argparse.ArgumentParser, found: str, annotations: str) -> None:
    """--template and --annotation-template, for `by_own_names`; whose videos they name."""
    parser.add_argument(
        "--template",
        default="{video}",
        help=f"names of {found} videos, made of {annotations}, such as v_{{video}}",
    )
    parser.add_argument(
        "--annotation-template",
        default="{video}",
        help=f"names of {annotations} videos, made of {found}, such as v_{{video}}",
    )


def add_json(parser: argparse.ArgumentParser, text: str) -> None:
    """--json, for `write_answer`; text: what is written."""
    parser.add_argument("--json", metavar="FILE", help=f"{text} as JSON; - for stdout")


def write_answer(target: str, value: object) -> None:
    """What `add_json` asked for: into the file, or, of "-", to stdout."""
    if target == "-":
        json.dump(value, sys.stdout, indent=1)
        print()
    else:
        write_json(target, value)


def add_fusion(parser: argparse.ArgumentParser) -> None:
    """Options of `fuse_groups`, without defaults: what is not given is left to the caller."""
    group = parser.add_argument_group("Gaussian weighted fusion")
    add_temperature_and_overlap(group)
    group.add_argument(
        "--threshold", type=float, help="overlap above which a segment joins the seed"
    )


def add_temperature_and_overlap(
    group: argparse._ArgumentGroup, before: str = "", after: tuple[str, str] = ("", "")
) -> None:
    """Of `fuse_segments`, without defaults; before, after: what else their help says."""
    group.add_argument(
        "--temperature",
        type=float,
        metavar="TAU",
        help=f"{before}members weigh exp(score / TAU): lower trusts the best more{after[0]}",
    )
    group.add_argument(
        "--overlap",
        choices=OVERLAPS,
        help=f"{before}overlap with the seed over the candidate's own length (the release), the "
        f"union, or the shorter length{after[1]}",
    )


def fuse_groups(groups: DetectionGroups, options: argparse.Namespace) -> DetectionGroups:
    """Gaussian weighted fusion with what `add_fusion` parsed; boundaries in snippets, inclusively
    counted as the release does."""
    fused = fuse_segments(
        groups.segments,
        groups.scores,
        counts=groups.counts,
        temperature=options.temperature,
        threshold=options.threshold,
        overlap=options.overlap,
        length_offset=1.0,
    )
    return replace(groups, segments=fused.segments, scores=fused.scores, counts=fused.counts)


def add_linpro(parser: argparse.ArgumentParser) -> None:
    """Options of `gaufuse_ext.linpro_labels`, over those of a configuration."""
    group = parser.add_argument_group(
        "LinPro", "where given, instead of what [linpro] of --config has"
    )
    for name, choices, text in (
        ("formulation", FORMULATIONS, "the program; released: as the authors' release"),
        ("rows", ROWS, "an instance's mean, or that minus the mean of the ring around it"),
        ("constraint", CONSTRAINTS, "instances should, or must, meet their confidences"),
        ("prices", PRICES, "terms grow with an instance's length, or count each the same"),
        ("weights", WEIGHTS, "of instances"),
    ):
        group.add_argument(f"--{name}", choices=choices, help=text)
    for name, text in (
        ("weight_temperature", "of exponential weights"),
        ("confidence_weight", "an instance's mean equals its confidence"),
        ("uniformity_weight", "its snippets equal its confidence"),
        ("anchor_weight", "snippets equal the mean confidence of what covers them"),
        ("variation_weight", "neighbouring snippets of an instance are equal"),
        ("sparsity_weight", "the sum of all labels is small"),
    ):
        group.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="W", help=text)


def linpro_given(options: argparse.Namespace) -> dict[str, str | float]:
    """What `add_linpro` parsed, where it was given."""
    given = {name: getattr(options, name) for name in LINPRO_OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def parse_thresholds(text: str) -> tuple[float, ...]:
    """first:step:last as numpy.arange makes it, or numbers with commas."""
    return _parse_thresholds(text, "thumos")


def check_thresholds(text: str) -> str:
    """The same of tIoU, as text: each protocol makes other numbers of first, step and last."""
    _parse_thresholds(text, "activitynet")
    return text


def _parse_thresholds(text: str, protocol: str) -> tuple[float, ...]:
    try:
        return thresholds.parse_thresholds(text, protocol)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
