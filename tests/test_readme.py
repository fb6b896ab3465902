"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gaufuse.cli.main import COMMANDS

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    segment = {"segment": [1.0, 2.0], "label": "jump"}
    database = {"v": {"annotations": [segment]}}
    (tmp_path / "ground_truth.json").write_text(json.dumps({"database": database}))
    results = {"v": [segment | {"score": 0.5}]}
    (tmp_path / "predictions.json").write_text(json.dumps({"results": results}))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(example, names)
    assert "optimal" in capsys.readouterr().out
    assert names["r"].labels.shape == (4, 750)
    assert names["m"].average_map == pytest.approx(100.0)


def test_it_names_every_command():
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        assert f"gaufuse {name}" in README
