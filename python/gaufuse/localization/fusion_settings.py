"""Settings of the fusion of detections: checked, read from and written to TOML or JSON."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gaufuse.config import Count, NotNegative, Positive, Probability
from gaufuse.utils.files import write_json, write_text
from gaufuse_ext.annotations import read_json
from gaufuse_ext.text import read_text

Method = Literal["fusion", "nms", "soft-nms", "weighted", "none"]
Decay = Literal["gaussian", "linear", "hard", "gaussian_above"]
Votes = Literal["none", "score", "score_iou"]
METHODS: tuple[str, ...] = get_args(Method)
DECAYS: tuple[str, ...] = get_args(Decay)
VOTES: tuple[str, ...] = get_args(Votes)
# Where none is given; each operation's own.
THRESHOLDS = {"fusion": 0.25, "nms": 0.25, "soft-nms": 0.1, "weighted": 0.55, "none": 0.0}
SECTION = "fusion"  # of a settings file


class FusionSettings(BaseModel):
    """What becomes of the detections of one group: a class of a video, or a whole video."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "fusion"
    threshold: Probability | None = None  # overlap; None: THRESHOLDS[method]
    class_agnostic: bool = False  # a group is a video, not a class of it
    model_weights: tuple[NotNegative, ...] | None = None  # of each file; None: all the same
    top: Count | None = None  # best detections of a video that are kept

    # method = "fusion": Gaussian weighted instance fusion
    temperature: Positive = 0.2
    overlap: Literal["candidate", "iou", "min"] = "candidate"

    # method = "weighted": 1-D weighted boxes fusion
    confidence: Literal["avg", "max"] = "avg"

    # method = "fusion" or "weighted": what comes of it may still overlap
    then: Literal["nothing", "soft-nms"] = "nothing"

    # method or then = "soft-nms"
    decay: Decay = "gaussian"
    sigma: Positive = 0.5
    min_score: Annotated[float, Field(allow_inf_nan=False)] = 0.001
    threshold_growth: NotNegative = 0.0  # decay = "gaussian_above"

    # method = "nms" or "soft-nms": what is kept becomes the mean of its neighbours
    voting: Votes = "none"
    voting_threshold: Probability = 0.75

    @model_validator(mode="after")
    def _check(self) -> FusionSettings:
        if self.model_weights is not None and not sum(self.model_weights) > 0.0:
            raise ValueError("model_weights: at least one model must have a positive weight")
        if self.voting != "none" and self.method not in ("nms", "soft-nms"):
            raise ValueError(
                f'voting = "{self.voting}" goes with method nms or soft-nms, not {self.method}'
            )
        if self.then != "nothing" and self.method not in ("fusion", "weighted"):
            raise ValueError(
                f'then = "{self.then}" goes with method fusion or weighted, not {self.method}'
            )
        return self

    @property
    def overlap_threshold(self) -> float:
        """The one given, or the method's own."""
        return THRESHOLDS[self.method] if self.threshold is None else self.threshold

    def afterwards(self) -> FusionSettings:
        """Those of the second step, `then`."""
        return self.model_copy(
            update={
                "method": self.then,
                "threshold": None,
                "then": "nothing",
                "model_weights": None,
            }
        )


def make_settings(values: Mapping[str, object], where: str) -> FusionSettings:
    """
    Raises:
        ValueError: in one sentence, with `where` and the setting.
    """
    try:
        return FusionSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        if name:
            message = f"{name}: {message}, got {first['input']!r}"
        raise ValueError(f"{where}: {message}") from None


def load_settings(path: str | Path) -> tuple[FusionSettings, dict[str, object]]:
    """Settings and what else the file says, such as where they were tuned.

    Raises:
        FileNotFoundError, ValueError: no such file, or something wrong in it.
    """
    data: object
    if str(path).lower().endswith((".json", ".json.gz")):
        data = read_json(path)
    else:
        try:
            data = tomllib.loads(read_text(path))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not readable TOML ({error})") from None
    if not isinstance(data, Mapping) or not isinstance(data.get(SECTION), Mapping):
        raise ValueError(f"{path} has no section [{SECTION}] with settings")
    rest = {key: value for key, value in data.items() if key != SECTION}
    return make_settings(data[SECTION], str(path)), rest


def write_settings(path: str | Path, settings: FusionSettings, about: Mapping[str, object]) -> None:
    """TOML, or JSON by the name; `about` says in sections of its own where they are from."""
    table = {SECTION: settings.model_dump(exclude_none=True, mode="json"), **about}
    if str(path).lower().endswith((".json", ".json.gz")):
        write_json(path, table)
    else:
        write_text(path, tomli_w.dumps(table))
