"""What the configuration asks for at an epoch (counted from 1)."""

from __future__ import annotations

import math

from gaufuse.config import Config, Step, TargetPhase, validate
from gaufuse.model.losses import LossWeights


def scaled(config: Config, videos: int) -> Config:
    """The configuration whose epochs are moved so that a data set of so many training videos takes
    the steps that schedule.steps wants; then without that setting, so that it is the same again.

    Raises:
        ValueError: there are so few epochs to be that phases would fall together.
    """
    if config.schedule.steps is None:
        return config
    least, most = config.schedule.steps
    each = math.ceil(videos / config.data.batch_size)
    written = config.schedule.epochs
    wanted = min(max(written, math.ceil(least / each)), max(1, most // each))
    factor = wanted / written

    def moved(epoch: int) -> int:
        return max(1, round(epoch * factor))

    table = config.model_dump(mode="json", exclude_none=True)
    schedule = table["schedule"]
    del schedule["steps"]
    schedule["epochs"] = moved(written)
    schedule["refresh"] = [moved(epoch) for epoch in schedule["refresh"]]
    schedule["every"] = moved(schedule["every"])
    table["memory"]["start"] = moved(table["memory"]["start"])
    for steps in (
        schedule["target"],
        table["loss"]["spl_weight"],
        table["optimizer"]["learning_rate"],
    ):
        for step in steps:
            step["until"] = moved(step["until"])
    return validate(table, f"the schedule, moved to {schedule['epochs']} epochs by schedule.steps")


def value_at(steps: list[Step], epoch: int) -> float:
    """The value of the first step that reaches the epoch."""
    return next(step.value for step in steps if epoch <= step.until)


def target_at(config: Config, epoch: int) -> TargetPhase:
    """What snippets are trained on in the epoch."""
    return next(phase for phase in config.schedule.target if epoch <= phase.until)


def label_weight_at(config: Config, epoch: int) -> float:
    """Grows from the first refresh on, up to its maximum."""
    loss = config.loss
    grown = loss.label_initial * loss.label_growth ** (epoch - config.schedule.base_epochs)
    return min(grown, loss.label_maximum)


def loss_weights_at(config: Config, epoch: int) -> LossWeights:
    """Those that change over the epochs; the others are read from the configuration."""
    return LossWeights(
        spl=value_at(config.loss.spl_weight, epoch), label=label_weight_at(config, epoch)
    )


def refresh_index(config: Config, epoch: int) -> int | None:
    """Which refresh happens at the end of the epoch, counted from 0; None: there is none."""
    refresh = config.schedule.refreshes
    return refresh.index(epoch) if epoch in refresh else None


def phase_ends(config: Config) -> set[int]:
    """Epochs after which the target changes: worth an evaluation."""
    ends = {phase.until for phase in config.schedule.target}
    return {epoch for epoch in ends if epoch < config.schedule.epochs} | {
        config.schedule.base_epochs,
        config.schedule.epochs,
    }
