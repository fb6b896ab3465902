"""The training benchmark measures what it says, on tiny sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.training import inputs, labels, memory, parts, steps

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "benchmarks.training"]


@pytest.mark.parametrize(
    "ways", [["floor", "literal", "step"], ["student floor", "literal student", "student"]]
)
def test_rows_and_ratios(ways):
    rows = steps.measure_case("tiny", [9, 12], 16, ways[1:], CPU)
    assert [row["way"] for row in rows] == ways
    floor, literal, step = (row["seconds"] for row in rows)
    assert rows[2]["literal_over_it"] == pytest.approx(literal / step)
    assert rows[2]["of_floor"] == pytest.approx(step / floor)


def test_the_general_preset_has_a_floor_of_its_own():
    rows = steps.measure_case("tiny", [9, 12], 16, ["general"], CPU)
    assert [row["way"] for row in rows] == ["general floor", "general"]
    assert rows[1]["of_floor"] == pytest.approx(rows[1]["seconds"] / rows[0]["seconds"])


def test_each_operation_belongs_to_its_part_forward_and_backward():
    step, refresh = parts.measure_step_and_refresh(12, 16, repeats=1)
    rows = {row["part"]: row for row in step["parts"]}
    embedding = rows["embedding"]
    assert 0.0 < embedding["products"] < embedding["forward"] + embedding["backward"]
    for part in ("propagation", "prediction head", "video losses", "snippet losses"):
        assert rows[part]["forward"] > 0.0
        assert rows[part]["backward"] > 0.0
    for part in ("class memory", "optimiser", "reading a batch"):
        assert rows[part]["forward"] > 0.0
        assert rows[part]["backward"] == 0.0
    rows = {row["part"]: row for row in refresh["parts"]}
    assert rows["proposals and fusion"]["forward"] > 0.0
    assert "optimiser" not in rows
    assert all(row["backward"] == 0.0 for row in rows.values())


def test_parts_are_put_back():
    before = [getattr(owner, name) for _, owner, name in parts.SCOPES]
    parts.measure_parts(lambda: None, repeats=1)
    assert before == [getattr(owner, name) for _, owner, name in parts.SCOPES]
    assert "batch" not in vars(inputs.RandomVideos)  # inherited


def test_labels_are_measured():
    videos = inputs.RandomVideos(inputs.spread_lengths(10, 30, 12), 16)
    figures = labels.measure_labels(videos, CPU, repeats=1)
    assert figures["videos"] == 12
    shares = {(row["way"], row["label_precision"]): row for row in figures["ways"]}
    assert len(shares) == 2 * (1 + len(labels.VISITS))
    refresh = shares["refresh", "float32"]
    assert refresh["of_an_epoch"] == refresh["seconds"] / figures["epoch_seconds"]


@pytest.mark.slow  # three processes that import torch, each to be measured
def test_a_steps_memory_grows_in_proportion_to_the_snippets():
    rows = memory.measure_memory((4000, 8000, 16000), 64, CPU, ways=("step",))
    first, second = (row["bytes_a_snippet"] for row in rows[1:])
    assert second == pytest.approx(first, rel=0.05)


def test_both_sides_make_the_same_update():
    """The release's sum of ten videos' gradients, and one batch: the same weights after it."""
    case = steps.Case([9, 12, 5], 16, CPU)
    batch, target = case.batch, case.target
    ours, theirs = (inputs.training_step(16, CPU, "model.dropout=0.0") for _ in range(2))
    for step in (ours, theirs):
        step(batch, target, inputs.EPOCH)
    case.train_literally(theirs)
    ours(batch, target, inputs.EPOCH)
    for name, parameter in ours.model.named_parameters():
        expected = theirs.model.get_parameter(name)
        gradient = (parameter.grad - expected.grad).norm() / expected.grad.norm()
        assert gradient < 1e-4, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "speed"), "invalid choice"),
        (("--lengths", "0"), "--lengths must be at least 1"),
        (("--json", "no/such/folder/x.json"), "no such folder"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    ended = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert message in ended.stderr


def test_the_script_writes_json(tmp_path):
    path = tmp_path / "figures.json"
    arguments = ["--quick", "--only", "step", "--lengths", "12", "--json", str(path)]
    subprocess.run([*COMMAND, *arguments], cwd=ROOT, check=True, capture_output=True)
    report = json.loads(path.read_text())
    assert [row["way"] for row in report["steps"]] == ["floor", "step"]
