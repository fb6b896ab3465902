"""What a cell runs on, on this machine: its data set's folder, and a digest of all that goes in."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
from pathlib import Path
from typing import NoReturn, Protocol

from gaufuse.cli import simulate, train
from gaufuse.config import load_config
from gaufuse.data.dataset import find_annotations, load_dataset
from gaufuse.experiment import linear_mil
from gaufuse.experiment.definition import Cell
from gaufuse.utils.console import make_console

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def unset_variable(cell: Cell) -> str | None:
    """An environment variable that the cell's data set needs and that is not set."""
    names = (braced or bare for braced, bare in _VARIABLE.findall(cell.path or ""))
    return next((name for name in names if name not in os.environ), None)


class DataFolders:
    """Where the data sets of cells are. Simulated ones are made anew for each experiment's start:
    that takes seconds, and an earlier version of the simulator may have made those that are there.

    Args:
        file: the experiment's, which paths are relative to.
        simulated: folder for data sets that are simulated.
        reuse: those that are there are taken as they are.
    """

    def __init__(self, file: Path, simulated: Path, reuse: bool = False):
        self._reuse = reuse
        self._base = file.parent
        self._simulated = simulated
        self._made: set[Path] = set()
        self._digests: dict[Path, str] = {}
        self._default_configs: dict[Path, str | Path] = {}

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
        elif folder not in self._made and not (self._reuse and (folder / "dataset.toml").is_file()):
            arguments = [str(folder), *cell.simulate, "--seed", str(cell.data_seed)]
            simulate.run(_parse(simulate, arguments, f"data.{cell.data}.simulate"))
            self._made.add(folder)
        return folder

    def inputs_digest(self, cell: Cell) -> str:
        """Of all that goes into a run: its resolved settings, so that an edited preset counts, and
        the texts of its data set, which is prepared here.

        Raises:
            FileNotFoundError, ValueError: a data set, an argument or a setting is wrong.
        """
        folder = self.prepare(cell)
        if folder not in self._digests:
            texts = [folder / "dataset.toml", find_annotations(folder)]
            self._digests[folder] = _digest(
                [hashlib.sha256(path.read_bytes()).hexdigest() for path in texts]
            )
        return _digest([self._settings(cell, folder), self._digests[folder]])

    def _settings(self, cell: Cell, folder: Path) -> dict:
        where = f"arms.{cell.arm}"
        arguments = [str(folder), "--output", "", *cell.arguments]
        if cell.kind == "linear":
            return vars(_parse(linear_mil, arguments, where)) | {"target": None}
        options = _parse(train, arguments, where)
        try:
            config = load_config(options.config or self._default_config(folder), options.set)
        except (ValueError, FileNotFoundError) as error:
            raise ValueError(f"{where}: {error}") from None
        return config.model_dump(mode="json", exclude={"data": {"root"}})

    def _default_config(self, folder: Path) -> str | Path:
        """What `gaufuse train` takes for this data set without --config."""
        if folder not in self._default_configs:
            found = train.find_config(folder, load_dataset(folder), make_console(quiet=True))
            self._default_configs[folder] = found
        return self._default_configs[folder]


def settings_digest(config: str) -> str:
    """Of a run's config.toml but for what differs from machine to machine and seed to seed."""
    lines = config.splitlines()
    return _digest([line for line in lines if not re.match(r"(root|seed) = ", line)])[:12]


class _TakesArguments(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...


def _parse(command: _TakesArguments, arguments: list[str], where: str) -> argparse.Namespace:
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
    def error(self, message: str) -> NoReturn:
        raise _Mistake(message)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
