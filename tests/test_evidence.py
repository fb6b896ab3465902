"""The experiments that are part of the package: every arm of them can be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaufuse.cli.main import main
from gaufuse.experiment import inputs
from gaufuse.experiment.definition import load_experiment
from training_setups import tiny_dataset

FOLDER = Path(__file__).parent.parent / "experiments"


@pytest.mark.parametrize("name", ["evidence", "evidence-quick"])
def test_all_arguments_and_settings_exist(name, tmp_path, monkeypatch, capsys):
    for data in load_experiment(FOLDER / f"{name}.toml").data.values():
        if data.path is not None:
            tiny_dataset(tmp_path / data.path.removeprefix("$GAUFUSE_DATA_ROOT/"))
    monkeypatch.setenv("GAUFUSE_DATA_ROOT", str(tmp_path))
    monkeypatch.setattr(inputs.simulate, "run", lambda options: tiny_dataset(options.output))
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", str(FOLDER / f"{name}.toml"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "left out" not in shown
    assert "simulated-2/full/" in shown
