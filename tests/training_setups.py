"""Small data sets and configurations that the training tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaufuse.config import Config, load_config
from gaufuse.data.simulate import SimulationSettings, simulate
from gaufuse.training.trainer import Trainer

TINY = SimulationSettings(
    classes=3,
    feature_dim=12,
    training_videos=9,
    testing_videos=6,
    snippets=(30, 60),
    instances=(1, 3),
    instance_snippets=(4, 10),
)

# Every part of the method, in seven epochs.
SHORT = [
    "model.embedding_dim=16",
    "data.batch_size=4",
    "loss.spl_weight=[{until=3, value=1.0}, {until=7, value=0.5}]",
    "optimizer.learning_rate=[{until=4, value=1e-3}, {until=7, value=5e-4}]",
    "memory.start=1",
    "schedule.epochs=7",
    "schedule.refresh=[2, 4, 5]",
    'schedule.target=[{until=2, kind="none"}, {until=4, kind="labels"}, {until=7, kind="delta"}]',
    "schedule.checkpoint_every=1",
]


def tiny_dataset(folder: Path) -> Path:
    simulate(folder, seed=3, settings=TINY)
    return folder


def short_config(*overrides: str) -> Config:
    return load_config("simulated", [*SHORT, *overrides])


def run_until(trainer: Trainer, epoch: int) -> None:
    """Runs and is interrupted right after an epoch."""
    after_epoch = trainer._after_epoch

    def stop_here(ends: set[int]) -> None:
        after_epoch(ends)
        if trainer.epoch == epoch:
            raise KeyboardInterrupt

    trainer._after_epoch = stop_here
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
