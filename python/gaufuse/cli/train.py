"""Train on a data set: base model, then pseudo labels, then delta labels.

Preset general goes on with a second model, which learns the labels.

TARGET is a data set folder (dataset.toml, annotations.json, features/<video>.npy) or a TOML
configuration whose data.root names one. For a folder, the configuration is --config if given, else
the folder's own train.toml, else preset thumos14 for the paper's kind of data (I3D features of
2,048 dimensions, about one label a video) and preset general for all others.

A data set of another layout (`gaufuse convert --help`: W-TALC/RSKP, ACM-Net, CoLA, ActionFormer) is
brought into ours first, in RUN/dataset; further runs can take that as their TARGET.

  gaufuse train data/my_videos --output runs/first
  gaufuse train data/Thumos14 --output runs/thumos14 --config thumos14
  gaufuse train data/ActivityNet1.3 -o runs/anet --config activitynet13 --convert='--resample 75'
  gaufuse train data/my_videos -o runs/second --config thumos14 --set optimizer.weight_decay=1e-3
  gaufuse train data/my_videos -o runs/control --control
  gaufuse train my_config.toml --output runs/second --dry-run
  gaufuse train my_config.toml --output runs/second --resume

Several processes, a GPU each, or CPU cores:

  torchrun --nproc-per-node 2 -m gaufuse train data/my_videos --output runs/first

SIGTERM (kill, a batch system's time limit) or Ctrl-C ends a run at the end of its epoch, with a
checkpoint and exit status 143 or 130; a second one ends it at once. --resume goes on either way.

RUN then holds config.toml (resolved), checkpoints/, metrics.json, predictions.json, log.jsonl,
TensorBoard files, and run.json, which says what each is.
"""

from __future__ import annotations

import argparse
import shlex
from contextlib import ExitStack, nullcontext
from pathlib import Path

import torch
from rich.console import Console

from gaufuse.cli.convert import convert_with
from gaufuse.cli.options import add_device, add_settings, pick_device
from gaufuse.config import Config, load_config, presets
from gaufuse.data.dataset import Dataset, cross_validated, load_dataset
from gaufuse.model.checkpoint import latest_checkpoint
from gaufuse.model.weights import check_fits, initialise, load_weights
from gaufuse.training.dry_run import dry_run
from gaufuse.training.run_folder import RunFolder, check_unused, locked, prepare_folder
from gaufuse.training.schedule import scaled
from gaufuse.training.trainer import Trainer
from gaufuse.utils.console import make_console
from gaufuse.utils.distributed import World, joined, local_device
from gaufuse.utils.malloc import keep_freed_memory

# The paper's own kind of data: I3D features of RGB and flow, and so few labels a video that a
# softmax over classes, which shares one label out among them, is fair.
I3D_DIM = 2048
FEW_LABELS = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="data set, or TOML configuration")
    parser.add_argument("--output", "-o", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--config", help=f"TOML file, or preset: {', '.join(presets())} (with a data set folder)"
    )
    parser.add_argument(
        "--convert",
        default="",
        metavar="OPTIONS",
        help="options of `gaufuse convert`, in quotes, for a data set of another layout",
    )
    add_settings(parser, "change a setting; may be given several times")
    parser.add_argument(
        "--control",
        action="store_true",
        help="the same base training, as long, with the weight of labels at zero and without a "
        "second round: what a gain is measured against",
    )
    parser.add_argument("--seed", type=int, help="short for --set seed=SEED")
    add_device(parser)
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument(
        "--peer-timeout",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="with torchrun: how long a process waits for another one (default: 600)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check data, memory, device and one step, estimate the time, and write nothing",
    )
    parser.add_argument(
        "--init",
        metavar="CHECKPOINT",
        help="start from these weights: a checkpoint's folder, or a state dict of the release",
    )
    going_on = parser.add_mutually_exclusive_group()
    going_on.add_argument(
        "--resume", action="store_true", help="go on from RUN's latest checkpoint"
    )
    going_on.add_argument("--overwrite", action="store_true", help="replace the run in RUN")


def run(options: argparse.Namespace) -> None:
    if options.threads is not None:
        if options.threads < 1:
            raise ValueError(f"--threads must be at least 1, got {options.threads}")
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    device = local_device(pick_device(options.device))
    with joined(device, options.peer_timeout) as world:
        _train(options, device, world, make_console(quiet=not world.is_first))


def _train(
    options: argparse.Namespace, device: torch.device, world: World, console: Console
) -> None:
    overrides = list(options.set)
    if options.control:
        overrides += ["loss.label_initial=0", "loss.label_maximum=0", "second_round.rounds=0"]
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    config, dataset = _load(options, overrides, world, console)
    weights = load_weights(options.init) if options.init else None
    if weights is not None:
        check_fits(weights, dataset.info.feature_dim, dataset.info.classes)
    folder = RunFolder(Path(options.output))
    if options.dry_run:
        if world.size > 1:
            raise ValueError("--dry-run is for one process: leave torchrun out")
        planned = Trainer(dataset, config, folder, device, console)
        if weights is not None:
            initialise(planned.base, weights)
        dry_run(planned, console, options.resume or options.overwrite)
        return
    with ExitStack() as held:

        def prepare() -> None:
            held.enter_context(locked(folder.root))
            prepare_folder(folder.root, options.resume, options.overwrite)

        world.first_does(prepare)
        processes = f", {world.size} processes" if world.size > 1 else ""
        console.print(
            f"{dataset.info.name}: {len(dataset.training)} training and {len(dataset.testing)} "
            f"test videos, {len(dataset.info.classes)} classes; {config.schedule.epochs} epochs "
            f"on {device}{processes}"
        )
        trainer = Trainer(dataset, config, folder, device, console, world)
        if weights is not None:
            initialise(trainer.base, weights)
        if options.resume and latest_checkpoint(folder.checkpoints) is None:
            console.print(f"{folder.root} holds no checkpoint yet: starting from the beginning")
        elif options.resume:
            trainer.resume()
            console.print(f"going on after epoch {trainer.epoch}")
        trainer.run()


def _load(
    options: argparse.Namespace, overrides: list[str], world: World, console: Console
) -> tuple[Config, Dataset]:
    target = Path(options.target)
    if not target.exists():
        raise FileNotFoundError(f"{target} is neither a data set folder nor a .toml configuration")
    if target.suffix == ".toml" and target.is_file():
        if options.convert:
            raise ValueError("--convert goes with a data set; TARGET is a configuration")
        if options.config is not None:
            raise ValueError("--config goes with a data set folder; TARGET is a configuration")
        config = load_config(target, overrides)
        if config.data.root is None:
            raise ValueError(f"{target} has no data.root: name the data set folder there")
        return _fitted(config, load_dataset(config.data.root, config.data.in_memory))
    if not (target / "dataset.toml").is_file():
        if options.config is not None:
            load_config(options.config, overrides)  # its mistakes before minutes of work
        target = _converted(target, options, world, console)
    elif options.convert:
        raise ValueError(f"--convert is for other layouts; {target} is of ours already")
    dataset = load_dataset(target)
    source = options.config or find_config(target, dataset, console)
    config = load_config(source, [*overrides, f"data.root={_quote(target)}"])
    for subset in (dataset.training, dataset.testing):
        subset.features.in_memory = config.data.in_memory
    return _fitted(config, dataset)


def _fitted(config: Config, dataset: Dataset) -> tuple[Config, Dataset]:
    """The fold that is asked for, and a schedule for a data set of its size."""
    dataset = cross_validated(dataset, config.data)
    return scaled(config, len(dataset.training)), dataset


def _converted(source: Path, options: argparse.Namespace, world: World, console: Console) -> Path:
    """The data set of another layout in ours, in the run's folder; a resumed run has it already."""
    if options.dry_run:
        raise ValueError(
            f"{source} has no dataset.toml, so it would be converted first, and --dry-run writes "
            f"nothing: run `gaufuse convert {source} OUT`, then try OUT"
        )
    run = RunFolder(Path(options.output))
    if options.resume and (run.dataset / "dataset.toml").is_file():
        return run.dataset
    check_unused(run, options.resume or options.overwrite)
    console.print(f"{source} is brought into our layout, in {run.dataset}", soft_wrap=True)
    arguments = [str(source), str(run.dataset), "--overwrite", *shlex.split(options.convert)]

    def convert() -> None:
        # A folder that is there may be one that is trained in, on the data set to be replaced.
        with locked(run.root) if run.root.exists() else nullcontext():
            convert_with(arguments, console)

    world.first_does(convert)
    return run.dataset


def find_config(target: Path, dataset: Dataset, console: Console) -> str | Path:
    """What `load_config` takes for a data set without --config: its own train.toml, or the preset
    for data of its kind."""
    own = target / "train.toml"
    if own.is_file():
        return own
    labels, dim = float(dataset.training.labels.sum(1).mean()), dataset.info.feature_dim
    preset = "thumos14" if dim == I3D_DIM and labels <= FEW_LABELS else "general"
    console.print(
        f"{labels:.1f} labels a video, features of {dim} dimensions: preset {preset} (choose "
        "another one with --config)"
    )
    return preset


def _quote(path: Path) -> str:
    text = str(path.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
