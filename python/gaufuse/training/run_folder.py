"""A run's folder: what is in it, and a run.json that says so."""

from __future__ import annotations

import datetime
import fcntl
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import gaufuse_ext as gx
from gaufuse.data.dataset import VideoSubset
from gaufuse.model.checkpoint import latest_checkpoint
from gaufuse.utils.distributed import World
from gaufuse.utils.files import (
    ensure_writable_folder,
    remove_folder,
    remove_leftovers,
    write_json,
)
from gaufuse.utils.write_error import naming
from gaufuse_ext.annotations import parse_json

FILES = {
    "config.toml": "the resolved configuration; `gaufuse train config.toml` starts the same run",
    "run.json": "this file",
    "log.jsonl": "a line per event: losses of every epoch, label refreshes, evaluations",
    "tensorboard/": "the same for TensorBoard, and times (`tensorboard --logdir RUN`)",
    "checkpoints/epoch-NNNN/": "weights (model.safetensors), classes and configuration "
    "(checkpoint.json), and what --resume needs (training.pt), after epoch NNNN",
    "metrics.json": "mAP in percent on the test videos; written when the run has ended",
    "predictions.json": "detections behind metrics.json, ActivityNet style, in seconds",
    ".lock": "locked while a process trains here",
}
CONVERTED = {"dataset/": "the videos, brought into our layout; further runs can train on it"}


@dataclass(frozen=True)
class RunFolder:
    """Where a run's files are; what is in them says FILES."""

    root: Path

    @property
    def config(self) -> Path:
        """TOML; is there from the start."""
        return self.root / "config.toml"

    @property
    def description(self) -> Path:
        """`describe_run` writes it at every start."""
        return self.root / "run.json"

    @property
    def dataset(self) -> Path:
        """A folder, there where `gaufuse train` was given another layout than ours."""
        return self.root / "dataset"

    @property
    def checkpoints(self) -> Path:
        """A folder, whose layout is that of gaufuse.model.checkpoint."""
        return self.root / "checkpoints"

    @property
    def log(self) -> Path:
        """JSON lines, which `RunLog` appends."""
        return self.root / "log.jsonl"

    @property
    def tensorboard(self) -> Path:
        """A folder, there where TensorBoard is installed."""
        return self.root / "tensorboard"

    @property
    def metrics(self) -> Path:
        """JSON; the last file that a run writes."""
        return self.root / "metrics.json"

    @property
    def predictions(self) -> Path:
        """JSON of the chosen epoch's detections; written at the end, before the metrics."""
        return self.root / "predictions.json"


@contextmanager
def locked(root: str | Path) -> Iterator[None]:
    """No other process trains in this folder meanwhile. The lock ends with the process, however
    that ends.

    Raises:
        ValueError: another process trains there, or the folder cannot be written to.
    """
    path = ensure_writable_folder(root) / ".lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ValueError(
                f"another run is going on in {root} ({file.read().strip()}): wait for its end, or "
                "name another folder"
            ) from None
        with naming(path):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
        yield


def check_unused(folder: RunFolder, may_be_used: bool) -> None:
    """Before data are read: whether a run may start in the folder.

    Raises:
        ValueError: the folder holds a run and that was not asked for.
    """
    if latest_checkpoint(folder.checkpoints) is not None and not may_be_used:
        raise ValueError(
            f"{folder.root} holds a run already; go on with --resume, replace it with --overwrite, "
            "or name another folder"
        )


def prepare_folder(root: str | Path, resume: bool, overwrite: bool) -> RunFolder:
    """The run's folder, made and tried; with `overwrite`, a run in it is removed.

    Raises:
        ValueError: it holds a run already and neither resume nor overwrite was asked for, or it
            cannot be written to.
    """
    folder = RunFolder(ensure_writable_folder(root))
    if overwrite:
        for path in (folder.metrics, folder.predictions, folder.log, folder.description):
            path.unlink(missing_ok=True)
        remove_folder(folder.checkpoints)
        remove_folder(folder.tensorboard)
    check_unused(folder, resume)
    folder.checkpoints.mkdir(exist_ok=True)
    remove_leftovers(folder.checkpoints)
    return folder


def describe_run(
    folder: RunFolder,
    device: torch.device,
    subsets: dict[str, VideoSubset],
    start_epoch: int,
    world: World,
) -> None:
    """Writes run.json. Every start of the run, also one that goes on, is an entry of "starts"."""
    starts: list[Any] = []
    if start_epoch:
        try:
            description: Any = parse_json(folder.description.read_text())
            starts = description["starts"]
        except (OSError, ValueError, KeyError, TypeError):
            starts = []  # it only informs
    starts.append(
        {
            "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "after_epoch": start_epoch,
            "command": shlex.join(sys.argv),
            "device": _device_name(device),
            "processes": world.size,
            "threads": torch.get_num_threads(),
            "versions": {
                "gaufuse": gx.build_info()["version"],
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
    )
    info = next(iter(subsets.values())).info
    data = {
        "name": info.name,
        "folder": str(info.root.resolve()),
        "classes": info.classes,
        "feature_dim": info.feature_dim,
        "snippet_seconds": info.snippet_seconds,
        "videos": {name: len(subset) for name, subset in subsets.items()},
    }
    files = FILES | (CONVERTED if folder.dataset.is_dir() else {})
    write_json(folder.description, {"starts": starts, "data": data, "files": files})


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.processor() or platform.machine()})"
