"""What an experiment is: a TOML file of data sets, arms and seeds, and the cells of that grid."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from gaufuse.config import Section, problems_of
from gaufuse.utils.toml_text import parse_toml

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")

Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


def _words(value: object) -> object:
    return shlex.split(value) if isinstance(value, str) else value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Arguments = Annotated[tuple[str, ...], BeforeValidator(_words)]  # a list, or a line as in a shell
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class DataSet(Section):
    """A folder, or how it is simulated. In all of it, and in the arguments of arms, `{seed}`,
    `{data_seed}` and the names of `values` in braces are replaced."""

    path: str | None = None  # with environment variables; relative to the experiment's file
    simulate: Arguments | None = None  # arguments of `gaufuse simulate`
    # Data sets of the same kind that differ by a seed of their own: "seed" takes the training
    # seed for it, a list crosses both.
    data_seeds: Seeds | Literal["seed"] | None = None
    seeds: Seeds | None = None  # instead of the experiment's
    arguments: Arguments = ()  # of `gaufuse train`, for every arm here
    values: dict[str, int | float | str] = Field(default_factory=dict)  # for arguments of arms
    description: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.simulate is None):
            raise ValueError("give either path or simulate")
        return self


class Arm(Section):
    """One way to train. Its arguments come after the experiment's and the data set's."""

    kind: Literal["train", "linear"] = "train"  # `gaufuse train`, or the outside baseline
    arguments: Arguments = ()
    on: dict[str, Arguments] = Field(
        default_factory=dict
    )  # further ones, by pattern of the data set's name
    data: Names = ("*",)  # patterns of the data sets that it is run on
    against: Names = ()  # arms that it is compared with; the first one is its control
    # An arm without runs: what those of arm `of` had reached at the end of a phase of theirs.
    of: str | None = None
    phase: str | None = None
    description: str = ""

    @model_validator(mode="after")
    def _runs_or_phase(self) -> Self:
        if (self.of is None) != (self.phase is None):
            raise ValueError("give both, of (an arm) and phase (of its runs), or neither")
        runs = sorted(self.model_fields_set - {"of", "phase", "against", "description"})
        if self.of is not None and runs:
            raise ValueError(f"an arm that is a phase of another one has no {', '.join(runs)}")
        return self


class Experiment(Section):
    """The file: cells are data sets x arms x seeds, but for what `Arm.data` leaves out."""

    title: str = ""
    description: str = ""
    seeds: Seeds
    workers: Annotated[int, Field(ge=1)] | None = None  # None: one a core
    arguments: Arguments = ()  # of `gaufuse train`, for every arm
    data: Annotated[dict[str, DataSet], Field(min_length=1)]
    arms: Annotated[dict[str, Arm], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        for name in (*self.data, *self.arms):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r}: a name has letters, digits and _ . + - only")
        for name, arm in self.arms.items():
            unknown = sorted(set(arm.against) - set(self.arms))
            if unknown:
                raise ValueError(
                    f"arms.{name}.against: {unknown[0]!r} is none of the arms "
                    f"({', '.join(self.arms)})"
                )
            if arm.of is not None and (arm.of not in self.arms or self.arms[arm.of].of is not None):
                raise ValueError(f"arms.{name}.of: {arm.of!r} is no arm that has runs")
            if name in arm.against:
                raise ValueError(f"arms.{name}.against: an arm is not its own control")
            for pattern in (*arm.data, *arm.on):
                if not any(fnmatchcase(data, pattern) for data in self.data):
                    raise ValueError(
                        f"arms.{name}: no data set matches {pattern!r} ({', '.join(self.data)})"
                    )
        return self


@dataclass(frozen=True)
class Cell:
    """One run of the grid, as the file says it: nothing here depends on the machine."""

    data: str
    arm: str
    seed: int
    data_seed: int | None
    kind: str
    path: str | None  # environment variables as they stand in the file
    simulate: tuple[str, ...] | None
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """DATA/ARM/SEED, or DATA-DATASEED/ARM/SEED: what --only matches."""
        of_data = "" if self.data_seed is None else f"-{self.data_seed}"
        return f"{self.data}{of_data}/{self.arm}/{self.seed}"

    @property
    def identity(self) -> dict[str, Any]:
        """What determines its result, as far as the file says it. Neither name is among it: an
        arm that is renamed need not run again, two arms of equal arguments run once."""
        return {
            "kind": self.kind,
            "path": self.path,
            "simulate": None if self.simulate is None else list(self.simulate),
            "data_seed": self.data_seed,
            "seed": self.seed,
            "arguments": list(self.arguments),
        }


def load_experiment(path: str | Path) -> Experiment:
    """Reads and checks an experiment's file.

    Raises:
        FileNotFoundError, ValueError: with everything that is unknown, missing or does not fit.
    """
    try:
        table = parse_toml(Path(path).read_text(), path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    try:
        return Experiment.model_validate(table)
    except ValidationError as error:
        raise ValueError(f"{path}: {problems_of(error, 'experiment')}") from None


def cells_of(experiment: Experiment, only: Sequence[str] = ()) -> list[Cell]:
    """All cells, seeds outermost: what is there after half the time is half of every comparison.

    Args:
        only: patterns of cells (data/arm/seed), data sets or arms; empty: all.
    """
    cells = [
        cell
        for name, data in experiment.data.items()
        for arm, settings in experiment.arms.items()
        if settings.of is None and any(fnmatchcase(name, pattern) for pattern in settings.data)
        for cell in _cells(experiment, name, data, arm)
        if _is_wanted(cell, experiment, only)
    ]
    seeds = {seed: i for i, seed in enumerate(dict.fromkeys(cell.seed for cell in cells))}
    return sorted(cells, key=lambda cell: seeds[cell.seed])


def _cells(experiment: Experiment, name: str, data: DataSet, arm: str) -> list[Cell]:
    settings = experiment.arms[arm]
    arguments = [*settings.arguments]
    if settings.kind == "train":
        arguments = [*experiment.arguments, *data.arguments, *arguments]
    for pattern, further in settings.on.items():
        if fnmatchcase(name, pattern):
            arguments += further
    cells = []
    for seed in data.seeds or experiment.seeds:
        for data_seed in _data_seeds(data, seed):
            values = {**data.values, "seed": seed, "data_seed": data_seed}

            def fill(text: str, values: dict = values) -> str:
                return _filled(text, values, f"arms.{arm} on {name}")

            cells.append(
                Cell(
                    data=name,
                    arm=arm,
                    seed=seed,
                    data_seed=data_seed,
                    kind=settings.kind,
                    path=None if data.path is None else fill(data.path),
                    simulate=None if data.simulate is None else tuple(map(fill, data.simulate)),
                    arguments=tuple(map(fill, arguments)),
                )
            )
    return cells


def _filled(text: str, values: dict, where: str) -> str:
    def value_of(match: re.Match) -> str:
        if values.get(match[1]) is None:
            raise ValueError(
                f"{where}: {text!r} has {match[0]}, which is no value of that data set"
            )
        return str(values[match[1]])

    return PLACEHOLDER.sub(value_of, text)


def _data_seeds(data: DataSet, seed: int) -> Sequence[int | None]:
    if data.data_seeds is None:
        return [None] if data.simulate is None else [seed]
    return [seed] if data.data_seeds == "seed" else data.data_seeds


def _is_wanted(cell: Cell, experiment: Experiment, only: Sequence[str]) -> bool:
    """Also where an arm is wanted that is a phase of the cell's."""
    arms = [name for name, arm in experiment.arms.items() if cell.arm in (name, arm.of)]
    own = [replace(cell, arm=arm) for arm in arms]
    names = [cell.data, *arms, *(cell.name for cell in own)]
    return not only or any(fnmatchcase(name, pattern) for name in names for pattern in only)
