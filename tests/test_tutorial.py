"""docs/tutorial.md runs as it stands, in order."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs/tutorial.md").read_text()
# Half of them: what each is for is tested elsewhere, and training takes its time.
LEFT_OUT = ("--control", "data.fold=")


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (make_data,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    exec(make_data, {})
    lines = re.findall(r"^gaufuse .*$", PAGE, flags=re.MULTILINE)
    assert len(lines) >= 7
    for line in lines:
        if any(word in line for word in LEFT_OUT):
            continue
        arguments = shlex.split(line, comments=True)[1:]
        done = subprocess.run(
            [sys.executable, "-m", "gaufuse", *arguments], capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    metrics = json.loads(Path("runs/first/metrics.json").read_text())
    assert metrics["average_map"] > 30.0
    assert json.loads(Path("found.json").read_text())["results"]
