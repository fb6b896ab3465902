"""The experiments that are part of the package: every arm of them can be run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gaufuse.cli.main import main
from gaufuse.experiment import inputs
from gaufuse.experiment.definition import load_experiment
from training_setups import tiny_dataset

FOLDER = Path(__file__).parent.parent / "experiments"


@pytest.mark.parametrize("name", ["evidence", "evidence-quick", "one-kernel"])
def test_all_arguments_and_settings_exist(name, tmp_path, monkeypatch, capsys):
    for data in load_experiment(FOLDER / f"{name}.toml").data.values():
        if data.path is not None:
            folder = tiny_dataset(tmp_path / data.path.removeprefix("$GAUFUSE_DATA_ROOT/"))
            (folder / "train.toml").unlink()  # the preset is chosen by the labels of a video
            if not data.path.endswith("_single"):
                _show_all_classes(folder / "annotations.json")
    monkeypatch.setenv("GAUFUSE_DATA_ROOT", str(tmp_path))
    monkeypatch.setattr(inputs.simulate, "run", lambda options: tiny_dataset(options.output))
    monkeypatch.chdir(tmp_path)
    status = main(["experiment", str(FOLDER / f"{name}.toml"), "--dry-run"])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    assert "left out" not in shown.out
    assert "simulated-2/full/" in shown.out


def _show_all_classes(annotations: Path) -> None:
    table = json.loads(annotations.read_text())
    for video in table["database"].values():
        video["annotations"] += [{"segment": [0.0, 1.0], "label": f"action_{c}"} for c in range(3)]
    annotations.write_text(json.dumps(table))
