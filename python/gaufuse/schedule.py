"""What the configuration asks for at an epoch (counted from 1)."""

from __future__ import annotations

from gaufuse.config import Config, Step, TargetPhase
from gaufuse.losses import LossWeights


def value_at(steps: list[Step], epoch: int) -> float:
    """The value of the first step that reaches the epoch."""
    return next(step.value for step in steps if epoch <= step.until)


def target_at(config: Config, epoch: int) -> TargetPhase:
    return next(phase for phase in config.schedule.target if epoch <= phase.until)


def label_weight_at(config: Config, epoch: int) -> float:
    """Grows from the first refresh on, up to its maximum."""
    loss = config.loss
    grown = loss.label_initial * loss.label_growth ** (epoch - config.schedule.base_epochs)
    return min(grown, loss.label_maximum)


def loss_weights_at(config: Config, epoch: int) -> LossWeights:
    return LossWeights(
        spl=value_at(config.loss.spl_weight, epoch), label=label_weight_at(config, epoch)
    )


def refresh_index(config: Config, epoch: int) -> int | None:
    """Which refresh happens at the end of the epoch, counted from 0."""
    refresh = config.schedule.refreshes
    return refresh.index(epoch) if epoch in refresh else None


def phase_ends(config: Config) -> set[int]:
    """Epochs after which the target changes: worth an evaluation."""
    ends = {phase.until for phase in config.schedule.target}
    return {epoch for epoch in ends if epoch < config.schedule.epochs} | {
        config.schedule.base_epochs,
        config.schedule.epochs,
    }
