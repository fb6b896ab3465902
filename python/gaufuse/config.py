"""The training configuration: typed, validated, read from TOML.

Every constant of the method is a setting here; nothing in the code names an epoch. The values of
the paper and its release are in configs/thumos14.toml, which is also where each is explained; what
the release does wrongly is in configs/thumos14_release.toml.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from gaufuse.utils.toml_text import parse_toml
from gaufuse_ext.text import read_text
from gaufuse_ext.thresholds import threshold_range

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Epoch = Annotated[int, Field(ge=1)]


def _kernel(value: object) -> int | list[int]:
    """A list of one is that one."""
    sizes: list[Any] = value if isinstance(value, list) else [value]
    if not sizes or any(type(size) is not int or size < 1 for size in sizes):
        raise ValueError(f"must be a whole number of at least 1, or several in a list, got {value}")
    if any(size % 2 == 0 for size in sizes):
        raise ValueError(f"must be odd, so that a snippet is in the middle, got {value}")
    if sizes != sorted(set(sizes)):
        raise ValueError(f"several must be rising, from the smallest to the largest, got {value}")
    return sizes if len(sizes) > 1 else sizes[0]


def _range(numbers: tuple[float, float, float]) -> tuple[float, float, float]:
    threshold_range(*numbers)
    return numbers


def _iou_range(numbers: tuple[float, float, float]) -> tuple[float, float, float]:
    if not (numbers[0] > 0.0 and numbers[2] <= 1.0):
        raise ValueError(f"tIoU thresholds must lie in (0, 1], got {numbers[0]} to {numbers[2]}")
    return _range(numbers)


# First, step, last: found to be none when a configuration is read, not after the base phase.
ThresholdRange = Annotated[tuple[float, float, float], AfterValidator(_range)]
IouRange = Annotated[tuple[float, float, float], AfterValidator(_iou_range)]


class Section(BaseModel):
    """A part of the configuration: never changed, and without settings that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(Section):
    """A value that holds up to and including an epoch."""

    until: Epoch
    value: NotNegative


class DataConfig(Section):
    """The data set and how it is read."""

    root: str | None = None  # data set folder; relative to the configuration file
    standardize: bool  # shift and scale each feature dimension by the training snippets'
    batch_size: Count  # videos per optimiser step
    workers: Annotated[int, Field(ge=0)] = 2  # threads that read batches ahead; 0: none
    in_memory: bool = False  # keep features in memory instead of mapping their files
    # To choose settings without test videos: train on the training videos but one fold of them and
    # test on that one. 1: no cross-validation.
    folds: Count = 1
    fold: Annotated[int, Field(ge=0)] = 0  # the one that is tested on, counted from 0
    # Videos that must share a fold (of one person, cut from one recording): a regular expression
    # whose match at the start of their names is equal. None: each video for itself.
    fold_group: str | None = None

    @field_validator("fold_group")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold >= self.folds:
            raise ValueError(f"fold must be less than folds ({self.folds}), got {self.fold}")
        return self


class ModelConfig(Section):
    """The base model (method section 2)."""

    embedding_dim: Annotated[int, Field(ge=0)]  # 0: the feature dimension
    # A temporal convolution in place of the paper's linear layer (1), for snippets too short to
    # tell an action by themselves: how many snippets it sees. Several kernels share out the
    # embedding's dimensions, as many to each.
    kernel: Annotated[int | list[int], BeforeValidator(_kernel)] = 1
    dilation: Count = 1  # from one snippet that a kernel sees to the next
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]  # of the embedding
    scale: Positive  # of cosine similarities in every score
    representatives: Count  # of a video, found by EM
    em_iterations: Count  # assignments to representatives, and new ones of them
    em_scale: Positive  # of cosine similarities in the EM's assignment
    propagation: Annotated[float, Field(gt=0.0, lt=1.0)]  # w of the random walk


class LossConfig(Section):
    """The losses of a step and their weights over the epochs (method section 2)."""

    # How video labels supervise: "softmax" is the paper's and takes about one label a video for
    # granted; "sigmoid" is a binary cross entropy per class on the mean of the top snippets.
    video: Literal["softmax", "sigmoid"]
    foreground_weight: NotNegative  # of the video loss of the labelled classes
    background_weight: NotNegative  # of the loss of classwise features, background among the labels
    attention_weight: NotNegative  # of attention that is high in some snippets and low in others
    top_fraction: Annotated[float, Field(gt=0.0, le=1.0)]  # snippets that count as top, or bottom
    # Of self-distillation: scores before propagation learn those after it (RSKP's pseudo labels).
    spl_weight: list[Step]
    spl_temperature: Positive  # of its targets
    spl_memory_mix: Probability  # share of the memory branch in the target
    memory_weight: NotNegative  # of the memory branch in the video losses
    label_initial: NotNegative  # weight of the loss on labels at the first refresh
    label_growth: Positive  # factor of that per epoch
    label_maximum: NotNegative  # that the weight of labels does not exceed
    label_original: Probability  # share of the original branch, the rest is the reallocated one's


class OptimizerConfig(Section):
    """Adam and its learning rate."""

    # Of the moving averages of gradients and their squares.
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    weight_decay: NotNegative  # added to the gradient, times the weights
    learning_rate: list[Step]  # by epoch
    gradient: Literal["sum", "mean"]  # over the videos of a step


class MemoryConfig(Section):
    """The class memory (method section 2)."""

    start: Epoch  # filled from all training videos at the end of this epoch
    size: Count  # representatives kept per class


class TargetPhase(Section):
    """What snippets are trained on up to and including an epoch: nothing ("none"), the labels of
    the last refresh ("labels"), their change since the one before ("delta", the paper's), or labels
    that have changed that much more ("labels+delta"), which holds what labels have taught."""

    until: Epoch
    kind: Literal["none", "labels", "delta", "labels+delta"]
    gain: NotNegative = 1.0


class ScheduleConfig(Section):
    """What happens at which epoch: counted from one, and moved by `steps`."""

    epochs: Epoch  # of the whole training, without a second round
    # Labels are made at the end of these epochs; the first ends the base phase.
    refresh: list[Epoch]
    # When labels are made after the base phase. "schedule": at the epochs of `refresh`, the
    # paper's; "every": every so many epochs; "online": at every step, of the batch's own videos, by
    # a teacher whose weights follow the model's by an exponential moving average.
    policy: Literal["schedule", "every", "online"] = "schedule"
    every: Count = 10  # epochs from refresh to refresh, of policy "every"
    teacher_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999  # of its weights, a step
    teacher_every: Count = 3  # a video has new labels from the teacher at every so many visits
    target: list[TargetPhase]  # what snippets are trained on, by epoch (training.md)
    # The least and most optimiser steps of all epochs together: a data set of another size has
    # every epoch named in the configuration moved in proportion. None: epochs are as written. (A
    # configuration or override that names schedule.epochs alone sets it aside.)
    steps: tuple[Count, Count] | None = None
    evaluate_every: Annotated[int, Field(ge=0)] = 0  # epochs; 0: at the end of each phase only
    checkpoint_every: Count = 10  # epochs; besides, there is one at the end of each phase
    checkpoint_minutes: NotNegative = 0.0  # one after so many minutes, too; 0: not for that
    checkpoints_kept: Count = 3  # the last ones; the chosen epoch's is kept besides

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.refresh or sorted(set(self.refresh)) != self.refresh:
            raise ValueError("refresh must name at least one epoch, in rising order")
        if self.refresh[-1] >= self.epochs:
            raise ValueError(
                f"the last refresh ({self.refresh[-1]}) must come before epoch {self.epochs}"
            )
        ends = [phase.until for phase in self.target]
        if sorted(set(ends)) != ends or not ends or ends[-1] < self.epochs:
            raise ValueError(f"target phases must rise and reach epoch {self.epochs}")
        first = {"labels": 1, "delta": 2, "labels+delta": 2}
        start = 0
        for phase in self.target:
            made = self._refreshes_by(start)
            if made < first.get(phase.kind, 0):
                raise ValueError(
                    f"target {phase.kind!r} starts after epoch {start}, but needs "
                    f"{first[phase.kind]} refresh(es) by then, there is {made}"
                )
            start = phase.until
        return self

    @property
    def refreshes(self) -> list[int]:
        """Epochs at whose end labels of all videos are made."""
        if self.policy == "schedule":
            return self.refresh
        if self.policy == "every":
            return list(range(self.base_epochs, self.epochs, self.every))
        return []

    def _refreshes_by(self, epoch: int) -> int:
        """How often each video has had labels when the epoch's successor trains on them."""
        if self.policy == "online":
            return max(0, (epoch - self.base_epochs) // self.teacher_every + 1)
        return sum(refresh <= epoch for refresh in self.refreshes)

    @property
    def base_epochs(self) -> int:
        """Epochs before the first labels."""
        return self.refresh[0]


class PostprocessConfig(Section):
    """From activations to instances: the same path makes labels and detections."""

    # "attention_softmax": attention times class softmax, the paper's; "sigmoid": sigmoid of
    # cas_scale times the class score, for videos of many classes; "competing": that times the
    # class's share among all (softmax), since snippets of another class are where labels go wrong.
    cas: Literal["attention_softmax", "sigmoid", "competing"]
    cas_scale: Positive = 1.0  # of scores in their sigmoid
    original_share: Probability  # of the original branch in the CAS
    video_share: Probability  # of the original branch in the video score
    classes: Literal["scored", "known"]  # by video score, or the video's labels (training only)
    class_threshold: NotNegative  # least video score of a class that is looked for
    thresholds: ThresholdRange  # first, step and last: snippets above one make a proposal
    # "range": thresholds are fractions between a sequence's minimum and maximum.
    threshold_kind: Literal["absolute", "range"]
    min_length: Count  # least snippets of a proposal
    # A proposal's surroundings, to either side: margin times its length to this power.
    margin: NotNegative
    margin_power: NotNegative  # of the length
    video_score_weight: NotNegative  # added to an instance's score: weight times the video score
    # What of two proposals overlaps: the intersection over the candidate, the union, the shorter.
    fusion_overlap: Literal["candidate", "iou", "min"]
    fusion_threshold: Probability  # overlap from which proposals become one instance
    # What a proposal's Gaussian weight is of: its mean activation inside, or its score.
    fusion_weights: Literal["inner", "score"]
    fusion_length_offset: NotNegative  # 1: lengths count the last snippet, as in the release
    temperature: list[Positive]  # by refresh, the last one for all that follow; one at test time
    # "nms" keeps the best of overlapping proposals (IoU above fusion_threshold) as it is: what
    # Gaussian weighted fusion is compared with.
    fusion: Literal["gaussian", "nms"] = "gaussian"


class InstancesConfig(Section):
    """Which instances labels are made of, how confident each is, and how they become labels."""

    # "ground_truth": labels are the training videos' own annotations, which weak supervision does
    # not have: an oracle, the upper end of what labels can teach.
    source: Literal["model", "ground_truth"] = "model"
    # "contrast": with its surroundings, as for detections; "mean": of the activations inside.
    confidence: Literal["contrast", "mean"] = "contrast"
    keep: Probability = 0.0  # instances of less than this share of the best one's contrast go
    # Confidences are divided by the best one's to this power. 0: as they are. 1: a class that the
    # video is known to show has an instance of confidence 1.
    share_of_best: Probability = 0.0
    certain: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0  # confidences from this on count as 1
    # From instances to labels: the linear program, or the mean or maximum of what covers a snippet.
    combine: Literal["linpro", "mean", "maximum"] = "linpro"
    # For data sets where one action is shown at a time: where a snippet's labels add up to more
    # than one over the classes, each is its share of their powers. 1: in proportion; the higher,
    # the more the largest takes. 0: classes know nothing of each other.
    exclusive: NotNegative = 0.0


class LinproConfig(Section):
    """Arguments of `gaufuse_ext.linpro_labels`, which says what they mean."""

    formulation: Literal["uniform", "released"]  # ours, or the release's
    rows: Literal["mean", "contrast_mean"]  # what of an instance's snippets is its confidence
    constraint: Literal["elastic", "hard"]  # "hard": instances must meet their confidences
    prices: Literal["snippet", "instance"]  # "snippet": a long instance counts for more
    weights: Literal["constant", "confidence", "exponential"]  # of instances
    weight_temperature: Positive  # of "exponential"
    confidence_weight: NotNegative  # of: an instance's mean equals its confidence
    uniformity_weight: NotNegative  # of: its snippets equal its confidence
    anchor_weight: NotNegative  # of: snippets equal the mean confidence of what covers them
    variation_weight: NotNegative  # of: neighbouring snippets of an instance are equal
    sparsity_weight: NotNegative  # of the sum of all labels


class SecondRoundConfig(Section):
    """Students that learn the pseudo labels of the finished model (second_round.py)."""

    rounds: Annotated[int, Field(ge=0)] = 0  # students, one after the other; 0: none
    # Each first has labels made anew, of either half of the videos by a student of the other half.
    across: bool = False
    epochs: Count = 20  # of each, at least;
    least_steps: Annotated[int, Field(ge=0)] = 400  # and as many as these steps take
    learning_rate: Positive = 1e-3  # falls to zero by a cosine
    warmup_steps: Annotated[int, Field(ge=0)] = 50  # in which it rises
    weight_decay: NotNegative = 0.05  # of AdamW
    focal_gamma: NotNegative = 2.0  # how much less what is nearly right counts
    width: Count = 128  # channels
    dilations: list[Count] = [1, 1, 2, 4]  # a residual layer of kernel 3 each
    input_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3  # of the features
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2  # in each layer
    share: Probability = 0.5  # of its activations, the rest are the base model's; 1: its own alone
    # How the activations become instances, as in [labels] and [testing], with kind "range"; the
    # rest is as there.
    thresholds: ThresholdRange = (0.025, 0.05, 0.975)
    top_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.0625  # as in [loss]
    video_score_weight: NotNegative = 0.1  # as in [testing]


class TrainingConfig(Section):
    """How a step is computed, not what it computes."""

    # "bf16": the embedding layer's products, nearly all of the arithmetic, in bfloat16.
    precision: Literal["float32", "bf16"] = "float32"
    label_precision: Literal["float32", "bf16"] = "float32"  # the same where labels are made
    compile: bool = False  # the forward pass by torch.compile; minutes for the first steps


class EvaluationConfig(Section):
    """How detections are scored (docs/evaluation.md)."""

    protocol: Literal["activitynet", "thumos"]  # whose script's conventions
    iou_thresholds: IouRange  # first, step and last


class SelectionConfig(Section):
    """Which epoch's model is the result of the run. "last": the last one's; "validation": the best
    on training videos that are held out; "test": the best on the test videos, which a fair
    comparison must not do. Epochs that are evaluated (schedule.evaluate_every) stand for choice."""

    by: Literal["last", "validation", "test"] = "last"  # as said above
    fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1  # of the training videos
    seed: Annotated[int, Field(ge=0)] = 0  # of the draw, so that runs of any seed hold out the same
    # "auto": detection mAP where all the videos held out have segments, else classification mAP.
    metric: Literal["auto", "detection", "classification"] = "auto"


class ReleaseQuirks(Section):
    """Defects of the authors' release that its published numbers come from. All off: the corrected
    method. What else the release does differently are choices of other sections
    (configs/thumos14_release.toml)."""

    memory_of_first_class: bool = False  # class 0's memory for every video, not its own classes'
    dropout_in_labels: bool = False  # labels are made in training mode
    no_map_without_all_classes: bool = False  # mAP 0 if an annotated class has no prediction


class Config(Section):
    """All settings of a training run; `load_config` makes it of a preset or a file."""

    seed: Annotated[int, Field(ge=0)] = 0
    data: DataConfig
    model: ModelConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    memory: MemoryConfig
    schedule: ScheduleConfig
    labels: PostprocessConfig
    instances: InstancesConfig = InstancesConfig()
    linpro: LinproConfig
    testing: PostprocessConfig
    evaluation: EvaluationConfig
    second_round: SecondRoundConfig = SecondRoundConfig()
    training: TrainingConfig = TrainingConfig()
    selection: SelectionConfig = SelectionConfig()
    release_quirks: ReleaseQuirks = ReleaseQuirks()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, steps in (
            ("loss.spl_weight", self.loss.spl_weight),
            ("optimizer.learning_rate", self.optimizer.learning_rate),
        ):
            ends = [step.until for step in steps]
            if not ends or sorted(set(ends)) != ends or ends[-1] < self.schedule.epochs:
                raise ValueError(
                    f"{name} must rise in epochs and reach epoch {self.schedule.epochs}"
                )
        if self.instances.source == "ground_truth" and self.schedule.policy == "online":
            raise ValueError(
                'instances.source = "ground_truth" has nothing to make online: use '
                'schedule.policy = "schedule" or "every"'
            )
        if self.testing.classes == "known":
            raise ValueError('testing.classes must be "scored": labels are not known at test time')
        return self


def presets() -> list[str]:
    """Names of the configurations that come with the package, for `load_config`."""
    folder = resources.files("gaufuse.configs")
    return sorted(
        p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")
    )


def load_config(source: str | Path, overrides: list[str] | None = None) -> Config:
    """A preset by name or a TOML file; overrides are "section.key=value" with TOML values.

    A file may start from a preset with `base = "name"` and name only what differs. Its data.root is
    taken relative to it.

    Raises:
        FileNotFoundError, ValueError: with every setting that is unknown, missing or out of range.
    """
    table = _read_preset(str(source)) if str(source) in presets() else _read_file(Path(source))
    changed: dict[str, Any] = {}
    for override in overrides or []:
        _apply(table, override)
        _apply(changed, override)
    return validate(_as_long_as_said(table, changed), str(source))


def validate(table: dict[str, Any], name: str) -> Config:
    """The configuration of a table as TOML has it; `name` says where it is from.

    Raises:
        ValueError: with every setting that is unknown, missing or out of range.
    """
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        raise ValueError(f"{name}: {problems_of(error, 'configuration')}") from None


def problems_of(error: ValidationError, whole: str) -> str:
    """All that is wrong, each with its place; what is wrong with the whole under that name."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or whole}: {problem['msg']}"
        for problem in error.errors()
    )


def dump_config(config: Config) -> str:
    """The resolved configuration as TOML, which `load_config` reads back."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def _read_preset(name: str) -> dict[str, Any]:
    text = resources.files("gaufuse.configs").joinpath(f"{name}.toml").read_text()
    return _with_base(tomllib.loads(text), name)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is neither a file nor a preset ({', '.join(presets())})"
        ) from None
    table = _with_base(parse_toml(text, path), str(path))
    data = table.get("data")
    if isinstance(data, dict) and isinstance(data.get("root"), str):
        data["root"] = str(path.parent / data["root"])
    return table


def _with_base(table: dict[str, Any], name: str) -> dict[str, Any]:
    base = table.pop("base", None)
    if base is None:
        return table
    if base not in presets():
        raise ValueError(f"{name}: base must be one of {', '.join(presets())}, got {base!r}")
    return _as_long_as_said(_merge(_read_preset(base), table), table)


def _as_long_as_said(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Who names a number of epochs gets it: a base's schedule.steps is for its own epochs."""
    own = changes.get("schedule", {})
    if isinstance(own, dict) and "epochs" in own and "steps" not in own:
        table.get("schedule", {}).pop("steps", None)
    return table


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            value = _merge(merged[key], value)
        merged[key] = value
    return merged


def _apply(table: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals:
        raise ValueError(f"an override must look like section.key=value, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    *sections, key = path.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ValueError(f"override {override!r}: {section} is not a section")
    table[key] = value
