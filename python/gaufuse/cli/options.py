"""Command-line options that several commands share."""

from __future__ import annotations

import argparse

from gaufuse_ext import threshold_range


def add_fusion(parser: argparse.ArgumentParser, temperature: float) -> None:
    group = parser.add_argument_group("Gaussian weighted fusion")
    group.add_argument(
        "--temperature",
        type=float,
        default=temperature,
        metavar="TAU",
        help="members weigh exp(score / TAU): lower trusts the best more (default %(default)s)",
    )
    group.add_argument(
        "--overlap",
        choices=("candidate", "iou", "min"),
        default="candidate",
        help="overlap with the seed over the candidate's own length (the release), the union, or "
        "the shorter length (default %(default)s)",
    )
    group.add_argument(
        "--threshold",
        type=float,
        default=0.25,
        help="overlap above which a segment joins the seed (default %(default)s)",
    )


def parse_thresholds(text: str) -> tuple[float, ...]:
    """first:step:last, or numbers with commas."""
    try:
        if ":" in text:
            first, step, last = map(float, text.split(":"))
            return threshold_range(first, step, last)
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected first:step:last or numbers with commas, got {text!r}"
        ) from None
