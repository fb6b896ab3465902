"""Checkpoints: all that a run needs to go on, or a model to be used."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import torch

from gaufuse.files import write_atomically

FORMAT = 1


@dataclass
class Checkpoint:
    config: dict  # Config.model_dump(mode="json")
    classes: list[str]
    feature_dim: int
    epoch: int  # finished epochs
    model: dict[str, torch.Tensor]
    optimizer: dict
    memory: dict[str, torch.Tensor]
    labels: dict
    evaluations: list[dict]


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    state = {"format": FORMAT, **vars(checkpoint)}
    write_atomically(path, lambda file: torch.save(state, file))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a checkpoint with weights_only: a file can hold tensors and plain values, no code.

    Raises:
        FileNotFoundError, ValueError: missing, unreadable, or not one of ours.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is not a readable checkpoint ({reason})") from None
    if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this version of gaufuse")
    try:
        return Checkpoint(**state)
    except TypeError as error:
        raise ValueError(f"{path} is not a complete checkpoint ({error})") from None
