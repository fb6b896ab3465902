"""What a cell runs on, on this machine: its data set's folder, and a digest of all that goes in."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
from functools import lru_cache
from pathlib import Path

from rich.console import Console

from gaufuse.cli import simulate, train
from gaufuse.config import load_config
from gaufuse.dataset import find_annotations, load_dataset
from gaufuse.experiment import linear_mil
from gaufuse.experiment.definition import Cell

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def unset_variable(cell: Cell) -> str | None:
    """An environment variable that the cell's data set needs and that is not set."""
    names = (braced or bare for braced, bare in _VARIABLE.findall(cell.path or ""))
    return next((name for name in names if name not in os.environ), None)


class DataFolders:
    """Where the data sets of cells are. Simulated ones are made anew for each experiment's start:
    that takes seconds, and an earlier version of the simulator may have made those that are there.
    """

    def __init__(self, file: Path, simulated: Path):
        self._base = file.parent
        self._simulated = simulated
        self._made: set[Path] = set()

    def __getitem__(self, cell: Cell) -> Path:
        if cell.path is not None:
            return self._base / os.path.expandvars(cell.path)
        digest = _digest([cell.simulate, cell.data_seed])
        return self._simulated / f"{cell.data}-{cell.data_seed}-{digest[:8]}"

    def prepare(self, cell: Cell) -> Path:
        """The folder, after simulating it if need be.

        Raises:
            FileNotFoundError: there is no such data set.
            ValueError: it cannot be simulated like that.
        """
        folder = self[cell]
        if cell.simulate is None:
            if not (folder / "dataset.toml").is_file():
                raise FileNotFoundError(
                    f"data.{cell.data}: {folder} is no data set folder (it has no dataset.toml)"
                )
        elif folder not in self._made:
            arguments = [str(folder), *cell.simulate, "--seed", str(cell.data_seed)]
            simulate.run(_parse(simulate, arguments, f"data.{cell.data}.simulate"))
            self._made.add(folder)
        return folder


def inputs_digest(cell: Cell, folder: Path) -> str:
    """Of the resolved settings (so that an edited preset counts) and of the data set's texts."""
    return _digest([_settings(cell, folder), _data_digest(folder)])


def settings_digest(config: str) -> str:
    """Of a run's config.toml but for what differs from machine to machine and seed to seed."""
    lines = config.splitlines()
    return _digest([line for line in lines if not re.match(r"(root|seed) = ", line)])[:12]


def _settings(cell: Cell, folder: Path) -> object:
    where = f"arms.{cell.arm}"
    if cell.kind == "linear":
        return vars(_parse(linear_mil, [str(folder), "--output", "", *cell.arguments], where)) | {
            "target": None
        }
    options = _parse(train, [str(folder), "--output", "", *cell.arguments], where)
    try:
        config = load_config(options.config or _default_config(folder), options.set)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{where}: {error}") from None
    return config.model_dump(mode="json", exclude={"data": {"root"}})


@lru_cache
def _default_config(folder: Path) -> str | Path:
    return train.find_config(folder, load_dataset(folder), Console(quiet=True))


@lru_cache
def _data_digest(folder: Path) -> str:
    texts = [folder / "dataset.toml", find_annotations(folder)]
    return _digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in texts])


def _parse(command: object, arguments: list[str], where: str) -> argparse.Namespace:
    """Arguments as the command itself reads them; mistakes are found here, before hours of work."""
    parser = _Parser(add_help=False)
    command.add_arguments(parser)
    try:
        return parser.parse_args(arguments)
    except _Mistake as mistake:
        raise ValueError(f"{where}: {mistake}") from None


class _Mistake(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise _Mistake(message)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
