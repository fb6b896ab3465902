"""What a finished run's folder says about it, read without trust."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from gaufuse.config import Config, load_config, problems_of
from gaufuse.training.run_folder import RunFolder
from gaufuse_ext.annotations import parse_json, read_json
from gaufuse_ext.text import read_text

Finite = Annotated[float, Field(allow_inf_nan=False)]
Model = TypeVar("Model", bound=BaseModel)


class Evaluation(BaseModel):
    """An evaluation of the test videos, in percent; None where they have no annotations."""

    epoch: int
    phase: str
    map: list[Finite] | None
    average_map: Finite | None
    validation: Finite | None = None


class Metrics(BaseModel):
    """metrics.json."""

    map: list[Finite] | None
    average_map: Finite | None
    iou_thresholds: Annotated[list[Finite], Field(min_length=1)]
    protocol: str
    epochs: int
    chosen_epoch: int
    chosen_by: str
    evaluations: list[Evaluation]


class Start(BaseModel):
    """A start of the run, the first one or one that went on."""

    time: str
    after_epoch: int
    command: str
    device: str
    processes: int
    threads: int
    versions: dict[str, str]


class Data(BaseModel):
    """The data set, as it was when the run started."""

    name: str
    folder: str
    classes: list[str]
    feature_dim: int
    snippet_seconds: Finite | None
    videos: dict[str, int]


class Description(BaseModel):
    """run.json."""

    starts: Annotated[list[Start], Field(min_length=1)]
    data: Data


class LogRecord(BaseModel, extra="allow"):
    """A line of log.jsonl."""

    epoch: int
    kind: str

    def numbers(self) -> dict[str, float]:
        """Its values but the epoch."""
        return {
            name: float(value)
            for name, value in (self.model_extra or {}).items()
            if isinstance(value, int | float) and abs(value) < 1e300
        }


@dataclass(frozen=True)
class RunFacts:
    """What a run's folder says."""

    folder: RunFolder
    config: Config
    metrics: Metrics
    starts: list[Start]
    data: Data
    log: list[LogRecord]

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.root.resolve().name

    def records(self, kind: str) -> list[tuple[int, dict[str, float]]]:
        """Epochs and numbers of the log's records of a kind."""
        return [(record.epoch, record.numbers()) for record in self.log if record.kind == kind]


def read_run(root: str | Path) -> RunFacts:
    """
    Raises:
        FileNotFoundError, ValueError: it is no run, the run has not ended, or one of its files is
            broken; with the file and what is wrong there.
    """
    folder = RunFolder(Path(root))
    if not folder.description.is_file():
        raise FileNotFoundError(f"{root} is not the folder of a run: it has no run.json")
    if not folder.metrics.is_file():
        raise ValueError(
            f"{root} is not finished: it has no metrics.json, which a run writes at its end; go on "
            f"with `gaufuse train {folder.config} --output {root} --resume`"
        )
    description = _read(folder.description, Description)
    return RunFacts(
        folder,
        load_config(folder.config),
        _read(folder.metrics, Metrics),
        description.starts,
        description.data,
        _read_log(folder.log),
    )


def _read(path: Path, model: type[Model]) -> Model:
    return _checked(read_json(path), model, str(path))


def _checked(value: Any, model: type[Model], name: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ValueError(f"{name}: {problems_of(error, 'the file')}") from None


def _read_log(path: Path) -> list[LogRecord]:
    records = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        name = f"{path}, line {number}"
        try:
            value = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name} is not JSON ({error})") from None
        records.append(_checked(value, LogRecord, name))
    return records
