"""Write a simulated data set.

Profiles:
  thumos-like       many short instances a video, drawn as in the annotations of THUMOS14
  activitynet-like  one or two long instances a video, drawn as in those of ActivityNet 1.3
  small             uniform and easy to draw: the first of them, for quick tests

Features have what makes weak supervision hard: context that goes with a class, actions that show in
bursts and phases, pairs of classes that look alike, boundaries that blend, scene bias, noise with
memory and heavy tails. The same seed gives the same files (docs/simulator.md).

  gaufuse simulate runs/simulated
  gaufuse train runs/simulated --output runs/first
  gaufuse simulate runs/second --profile activitynet-like --seed 1 --set context=0.9
"""

from __future__ import annotations

import argparse

from gaufuse.data.simulate import PROFILES, profile, simulate
from gaufuse.utils.console import make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUT", help="folder of the data set")
    parser.add_argument(
        "--profile",
        default="thumos-like",
        metavar="NAME",
        help=f"{', '.join(PROFILES)} (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="change a setting of the profile; may be given several times",
    )
    for name, what in (
        ("training_videos", "training videos"),
        ("testing_videos", "test videos"),
        ("classes", "classes"),
        ("feature_dim", "feature dimensions"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            metavar="N",
            help=f"{what}: short for --set {name}=N",
        )


def run(options: argparse.Namespace) -> None:
    if options.seed < 0:
        raise ValueError(f"--seed must not be negative, got {options.seed}")
    overrides = [*options.set]
    for name in ("training_videos", "testing_videos", "classes", "feature_dim"):
        if getattr(options, name) is not None:
            overrides.append(f"{name}={getattr(options, name)}")
    settings = profile(options.profile, overrides)
    simulate(options.output, options.seed, settings)
    videos = settings.training_videos + settings.testing_videos
    make_console().print(
        f"{options.profile}: {videos} videos, {settings.classes} classes in {options.output}",
        soft_wrap=True,
    )
