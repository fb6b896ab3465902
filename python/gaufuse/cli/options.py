"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from gaufuse.config import LinproConfig
from gaufuse.localization.detection_groups import DetectionGroups
from gaufuse_ext import build_info, fuse_segments, thresholds
from gaufuse_ext.ops.linpro_labels import CONSTRAINTS, FORMULATIONS, PRICES, ROWS, WEIGHTS

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


def add_fusion(parser: argparse.ArgumentParser) -> None:
    """Options of `fuse_groups`, without defaults: what is not given is left to the caller."""
    group = parser.add_argument_group("Gaussian weighted fusion")
    group.add_argument(
        "--temperature",
        type=float,
        metavar="TAU",
        help="members weigh exp(score / TAU): lower trusts the best more",
    )
    group.add_argument(
        "--overlap",
        choices=("candidate", "iou", "min"),
        help="overlap with the seed over the candidate's own length (the release), the union, or "
        "the shorter length",
    )
    group.add_argument(
        "--threshold", type=float, help="overlap above which a segment joins the seed"
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
    group = parser.add_argument_group("LinPro", "over [linpro] of --config")
    for name, choices, text in (
        ("formulation", FORMULATIONS, "the program; released: as the authors' release"),
        ("rows", ROWS, "an instance's mean, or less the mean of the ring around it"),
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
        ("sparsity_weight", "nothing more than that"),
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
