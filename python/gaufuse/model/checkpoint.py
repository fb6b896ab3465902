"""Checkpoints: all that a run needs to go on, or a model to be used. One folder each,

    checkpoints/epoch-0030/checkpoint.json      configuration, classes, epoch, evaluations so far
                           model.safetensors    the weights
                           training.pt          optimiser, memory, labels

A folder appears whole or not at all, so those that are there can be read.
"""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors

from gaufuse.utils.files import remove_folder, write_folder_atomically, write_in_folder, write_json
from gaufuse_ext.annotations import parse_json

FORMAT = 2
METADATA, WEIGHTS, TRAINING = "checkpoint.json", "model.safetensors", "training.pt"
_METADATA_TYPES = {
    "config": dict,
    "classes": list,
    "feature_dim": int,
    "epoch": int,
    "evaluations": list,
}


@dataclass
class Checkpoint:
    """What a checkpoint's folder holds."""

    config: dict[str, Any]  # Config.model_dump(mode="json")
    classes: list[str]
    feature_dim: int
    epoch: int  # finished epochs
    model: dict[str, torch.Tensor]
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    # State dicts by what they are of ("optimizer", ...): tensors and plain values, nested.
    training: dict[str, Any] = field(default_factory=dict)


def checkpoints_in(folder: str | Path) -> dict[int, Path]:
    """The complete checkpoints of a folder by epoch, in rising order."""
    found = {}
    for path in Path(folder).glob("epoch-*"):
        name = re.fullmatch(r"epoch-(\d+)", path.name)
        if name and (path / METADATA).is_file():
            found[int(name[1])] = path
    return dict(sorted(found.items()))


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The complete checkpoint of the highest epoch; None where there is none."""
    found = list(checkpoints_in(folder).values())
    return found[-1] if found else None


def checkpoint_of(path: str | Path) -> Path:
    """The checkpoint that a folder stands for: itself; or, of a run or its `checkpoints`, that of
    the epoch whose detections the run's metrics.json is of, the last one while there is none."""
    path = Path(path)
    if (path / METADATA).is_file():
        return path
    run = path.parent if path.name == "checkpoints" else path
    found = checkpoints_in(run / "checkpoints")
    if not found:
        return path
    last = list(found.values())[-1]
    if not (run / "metrics.json").is_file():
        return last
    metrics = parse_json((run / "metrics.json").read_text())
    chosen = metrics.get("chosen_epoch") if isinstance(metrics, dict) else None
    return last if chosen is None else found.get(chosen, last)


def save_checkpoint(folder: str | Path, checkpoint: Checkpoint) -> Path:
    """Writes folder/epoch-NNNN."""
    metadata = {"format": FORMAT} | {name: getattr(checkpoint, name) for name in _METADATA_TYPES}

    def write(path: Path) -> None:
        weights = {name: value.cpu().contiguous() for name, value in checkpoint.model.items()}
        # Through our own file: what safetensors and torch say of a full disk does not say so.
        write_in_folder(path / WEIGHTS, lambda file: file.write(to_safetensors(weights)))
        write_in_folder(path / TRAINING, lambda file: torch.save(checkpoint.training, file))
        write_json(path / METADATA, metadata)

    path = Path(folder) / f"epoch-{checkpoint.epoch:04d}"
    write_folder_atomically(path, write)
    return path


def replace_evaluations(path: str | Path, evaluations: list[dict[str, Any]]) -> None:
    """Puts the evaluations of the run so far into a checkpoint that is there."""
    path = Path(path)
    metadata = {"format": FORMAT} | _read_metadata(path) | {"evaluations": evaluations}
    write_json(path / METADATA, metadata)


def prune_checkpoints(folder: str | Path, keep: int, also: int | None = None) -> None:
    """Removes all but the last `keep` checkpoints and that of epoch `also`."""
    found = checkpoints_in(folder)
    for epoch in list(found)[:-keep]:
        if epoch != also:
            remove_folder(found[epoch])


def load_checkpoint(path: str | Path, training: bool = True) -> Checkpoint:
    """Reads a checkpoint's folder. Nothing in it can run code: JSON, safetensors, and a torch file
    read with weights_only.

    Args:
        training: False leaves out what only a run that goes on needs.

    Raises:
        FileNotFoundError, ValueError: missing, unreadable, or not one of ours.
    """
    path = Path(path)
    if path.is_file():
        raise ValueError(
            f"{path} is a file; a checkpoint is a folder with {METADATA} and {WEIGHTS}, such as "
            "RUN/checkpoints/epoch-0030"
        )
    metadata = _read_metadata(path)
    return Checkpoint(
        **metadata,
        model=_read_weights(path / WEIGHTS),
        training=_read_training(path / TRAINING) if training else {},
    )


def read_evaluations(path: str | Path) -> list[dict[str, Any]]:
    """The evaluations of the run up to a checkpoint, without its tensors."""
    evaluations: list[dict[str, Any]] = _read_metadata(Path(path))["evaluations"]
    return evaluations


def _read_metadata(folder: Path) -> dict[str, Any]:
    path = folder / METADATA
    try:
        metadata = parse_json(path.read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: {folder} is not a checkpoint") from None
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error})") from None
    if not isinstance(metadata, dict) or metadata.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is not of a checkpoint of this version of gaufuse")
    for name, kind in _METADATA_TYPES.items():
        if type(metadata.get(name)) is not kind:
            raise ValueError(
                f"{path}: {name} must be of type {kind.__name__}, got {metadata.get(name)!r:.80}"
            )
    return {name: metadata[name] for name in _METADATA_TYPES}


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file ({error})") from None


def _read_training(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is not a readable training state ({reason})") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} must hold a dict, got {type(state).__name__}")
    return state
