"""What the configuration asks for at an epoch, and for a data set of another size."""

from __future__ import annotations

import pytest
import torch

from gaufuse.config import TargetPhase, load_config
from gaufuse.labels.pseudo_labels import phase_target
from gaufuse.training.schedule import scaled
from training_setups import short_config

LONG = ("schedule.epochs=7", "schedule.steps=[60, 100]")


def test_a_small_data_set_takes_more_epochs():
    # Nine videos in batches of four are three steps an epoch: 60 steps are 20 epochs, not 7.
    config = scaled(short_config(*LONG), 9)
    assert config.schedule.epochs == 20
    assert config.schedule.refresh == [6, 11, 14]  # 2, 4, 5 times 20 / 7
    assert [phase.until for phase in config.schedule.target] == [6, 11, 20]
    assert [step.until for step in config.optimizer.learning_rate] == [11, 20]
    assert [step.until for step in config.loss.spl_weight] == [9, 20]
    assert config.memory.start == 3
    assert config.schedule.steps is None
    assert scaled(config, 5000) is config  # a resumed run is not moved again


def test_a_large_data_set_takes_fewer_and_one_in_between_as_many_as_written():
    assert scaled(short_config(*LONG[:1], "schedule.steps=[1, 100]"), 80).schedule.epochs == 5
    config = short_config(*LONG[:1], "schedule.steps=[1, 100]")
    assert scaled(config, 40).schedule == config.schedule.model_copy(update={"steps": None})


def test_a_schedule_that_cannot_be_squeezed_is_an_error():
    with pytest.raises(ValueError, match=r"moved to 1 epochs by schedule\.steps"):
        scaled(short_config("schedule.steps=[1, 10]"), 400)


def test_the_general_preset_fits_data_sets_of_any_size():
    for videos in (3, 30, 300, 3000, 10_000):
        config = scaled(load_config("general"), videos)
        steps = config.schedule.epochs * -(-videos // config.data.batch_size)
        assert 600 <= steps <= 8000 + steps / config.schedule.epochs


def test_targets_of_each_kind_of_phase():
    labels, previous = torch.tensor([[0.9, 0.2]]), torch.tensor([[0.5, 0.3]])

    def target(kind: str) -> tuple[list[float], float]:
        made = phase_target(TargetPhase(until=1, kind=kind, gain=2.0), labels, previous)
        return made.values[0].tolist(), made.total

    assert target("labels") == (pytest.approx([1.8, 0.4]), 2.0)
    assert target("delta") == (pytest.approx([0.8, -0.2]), 0.0)
    # 0.9 + 2 * 0.4 is more than a label can be, 0.2 - 2 * 0.1 is nothing.
    assert target("labels+delta") == (pytest.approx([1.0, 0.0], abs=1e-6), 1.0)


def test_who_names_epochs_gets_them(tmp_path):
    long = ["schedule.epochs=90", *(f"{x}=[{{until=90, value=1e-3}}]" for x in
            ("optimizer.learning_rate", "loss.spl_weight")),
            'schedule.target=[{until=40, kind="none"}, {until=90, kind="labels"}]']  # fmt: skip
    assert scaled(load_config("general", long), 10).schedule.epochs == 90
    both = load_config("general", [*long, "schedule.steps=[180, 180]"])
    assert scaled(both, 10).schedule.epochs == 180
    path = tmp_path / "own.toml"
    path.write_text('base = "general"\n[schedule]\nepochs = 75\n')
    assert load_config(path).schedule.steps is None
    path.write_text('base = "general"\n[model]\nkernel = 3\n')
    assert load_config(path).schedule.steps == (600, 8000)
