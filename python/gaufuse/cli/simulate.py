"""Write the built-in simulated data set.

Untrimmed videos with class-correlated context around actions, actions that are only partly salient,
scene bias and temporally correlated noise. The same seed gives the same files.

  gaufuse simulate runs/simulated
  gaufuse train runs/simulated --output runs/first
"""

from __future__ import annotations

import argparse

from gaufuse.report import make_console
from gaufuse.simulate import SimulationSettings, simulate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = SimulationSettings()
    parser.add_argument("output", metavar="OUT", help="folder of the data set")
    parser.add_argument("--seed", type=int, default=0)
    for name, what in (
        ("training_videos", "training videos"),
        ("testing_videos", "test videos"),
        ("classes", "classes"),
        ("feature_dim", "feature dimensions"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=_positive,
            default=getattr(defaults, name),
            help=f"{what} (default %(default)s)",
        )


def run(options: argparse.Namespace) -> None:
    if options.seed < 0:
        raise ValueError(f"--seed must not be negative, got {options.seed}")
    settings = SimulationSettings(
        classes=options.classes,
        feature_dim=options.feature_dim,
        training_videos=options.training_videos,
        testing_videos=options.testing_videos,
    )
    simulate(options.output, options.seed, settings)
    videos = settings.training_videos + settings.testing_videos
    make_console().print(
        f"{videos} videos, {settings.classes} classes in {options.output}", soft_wrap=True
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
