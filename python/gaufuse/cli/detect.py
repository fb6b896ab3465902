"""Detect actions with a trained model: our own checkpoints, or the authors'.

CHECKPOINT is a run (its chosen epoch is taken), a folder such as RUN/checkpoints/epoch-0030, or a
state dict of the release (.pkl, .pth). Settings are those that our own checkpoint was trained with,
or --config's; a state dict has none, so that --config is by default the preset thumos14_release.
The classes of a state dict are taken to be in the order of DIR/dataset.toml.

  gaufuse detect runs/first data/thumos14 -o predictions.json
  gaufuse detect runs/first/checkpoints/epoch-0030 data/thumos14 -o predictions.json
  gaufuse detect best_model.pkl data/thumos14 -o predictions.json
  gaufuse evaluate predictions.json data/thumos14/annotations.json --protocol thumos
"""

from __future__ import annotations

import argparse

from gaufuse.cli.options import add_device, add_settings, pick_device
from gaufuse.config import load_config
from gaufuse.data.dataset import load_dataset
from gaufuse.localization.detect import detect
from gaufuse.localization.evaluation import detection_score, is_annotated
from gaufuse.model.weights import build_model, check_fits, load_weights
from gaufuse.training.second_round import student_config
from gaufuse.utils.console import make_console
from gaufuse.utils.files import write_json

PRESET = "thumos14_release"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("dataset", metavar="DIR", help="data set folder")
    parser.add_argument("--output", "-o", required=True, metavar="OUT", help="JSON, or JSON.gz")
    parser.add_argument("--config", help="TOML file, or preset, whose [testing] and [model] to use")
    add_settings(parser, "change a setting of --config; may be given several times")
    parser.add_argument(
        "--subset",
        choices=("testing", "training"),
        default="testing",
        help="which videos (default %(default)s)",
    )
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    console = make_console()
    weights = load_weights(options.checkpoint)
    if options.set and options.config is None and weights.config is not None:
        raise ValueError("--set changes settings of --config: name one")
    config = weights.config
    if options.config is not None or config is None:
        config = load_config(options.config or PRESET, options.set)
    dataset = load_dataset(options.dataset, config.data.in_memory)
    check_fits(weights, dataset.info.feature_dim, dataset.info.classes)
    device = pick_device(options.device)
    subset = dataset.testing if options.subset == "testing" else dataset.training
    subset.prepare(config.data.workers, device)
    model = build_model(weights, config).to(device)
    used = student_config(config) if weights.has_student else config
    results = detect(model, subset, used, device, console=console)
    write_json(options.output, {"version": "gaufuse", "results": results})
    count = sum(map(len, results.values()))
    score = ", no mAP, since none of them has annotations"
    if is_annotated(subset):
        value = detection_score(results, subset, config).average_map
        score = f", average mAP {value:.2f} ({config.evaluation.protocol} protocol)"
    console.print(
        f"{count} detections in {len(results)} {options.subset} videos{score}: {options.output}",
        soft_wrap=True,
    )
