"""Tables, plot and document of records whose means and differences are known."""

from __future__ import annotations

import json
import xml.etree.ElementTree
from pathlib import Path

import pytest

from experiment_setups import EXPERIMENT, write_experiment
from gaufuse.cli.main import main
from gaufuse.experiment.definition import Experiment, cells_of
from gaufuse.experiment.document import document
from gaufuse.experiment.summary import summarise, summary_json
from gaufuse.experiment.tables import all_tables, label_table, markdown_table, phase_table

GRID = {
    "title": "Steps",
    "seeds": [0, 1, 2],
    "data": {
        "a": {"path": "a"},
        "b": {"simulate": [], "data_seeds": [5, 6], "description": "Two simulated sets."},
    },
    "arms": {
        "control": {"description": "no labels"},
        "labels": {"arguments": "--set x=1", "against": "control"},
        "delta": {"arguments": "--set x=2", "against": ["control", "labels"]},
    },
}
SCORES = {"control": 40.0, "labels": 42.0, "delta": 41.0}


def record_of(cell, average: float, **changes) -> dict:
    record = {
        "status": "finished",
        "time": "2026-01-02T03:04:05+00:00",
        "data": cell.data,
        "arm": cell.arm,
        "identity": cell.identity,
        "inputs": "",
        "settings": "one",
        "average_map": average,
        "map": [average + 10, average, average - 10],
        "iou_thresholds": [0.1, 0.4, 0.7],
        "seconds": 30.0,
        "resumed": False,
        "versions": {"gaufuse": "0.1.0", "commit": "abc", "torch": "2"},
    }
    return record | changes


def all_records(experiment: Experiment) -> list[dict]:
    """On a: SCORES plus the seed, labels' gain 2, 2.2, 2.4 by seed. On b: data seeds differ by 10,
    training seeds by 1."""
    records = []
    for cell in cells_of(experiment):
        score = SCORES[cell.arm] + cell.seed
        if cell.data == "a" and cell.arm == "labels":
            score += 0.2 * cell.seed
        if cell.data_seed == 6:
            score += 10.0
        records.append(record_of(cell, score))
    return records


@pytest.fixture
def experiment() -> Experiment:
    return Experiment.model_validate(GRID)


def test_means_spread_and_paired_differences(experiment):
    summary = summarise(experiment, all_records(experiment))
    control = summary.results["a", "control"]
    assert (control.mean, control.deviation) == (41.0, 1.0)
    assert control.map == [51.0, 41.0, 31.0]
    difference = summary.difference("a", "labels", "control")
    # 2.0, 2.2, 2.4: mean 2.2, standard deviation 0.2; t(0.975, 2) = 4.302653
    half = 4.302653 * 0.2 / 3**0.5
    assert difference.mean == pytest.approx(2.2)
    assert difference.low == pytest.approx(2.2 - half, abs=1e-6)
    assert difference.sign == 1
    assert summary.difference("a", "control", None) is None


def test_training_seeds_on_one_simulated_set_are_averaged(experiment):
    summary = summarise(experiment, all_records(experiment))
    control = summary.results["b", "control"]
    assert control.values == {5: 41.0, 6: 51.0}  # not six values
    assert len(control.records) == 6
    assert summary.differences("b", "labels", "control") == [2.0, 2.0]


def test_only_seeds_that_both_have_are_compared(experiment):
    records = [
        record
        for record in all_records(experiment)
        if (record["data"], record["arm"], record["identity"]["seed"]) != ("a", "control", 2)
    ]
    summary = summarise(experiment, records)
    assert summary.differences("a", "labels", "control") == pytest.approx([2.0, 2.2])
    assert summary.results["a", "control"].missing == 1
    assert summary.notes == ["1 of 27 cells have no finished run yet."]


def test_the_mean_over_data_sets(experiment):
    summary = summarise(experiment, all_records(experiment))
    mean, count = summary.mean_difference("labels", "control")
    assert count == 2
    assert mean.mean == pytest.approx((2.2 + 2.0) / 2)
    # b's differences do not vary: half of a's interval is left.
    own = summary.difference("a", "labels", "control")
    assert mean.high - mean.low == pytest.approx((own.high - own.low) / 2)


def test_the_last_record_of_a_cell_counts_and_odd_ones_are_told(experiment):
    records = all_records(experiment)
    cell = next(cell for cell in cells_of(experiment) if cell.name == "a/labels/0")
    records.append(record_of(cell, 50.0, settings="another"))
    records.append(record_of(cell, 0.0, status="failed"))
    other = Experiment.model_validate(
        GRID | {"arms": {"control": {"arguments": "--set x=9"}}, "data": {"a": {"path": "a"}}}
    )
    records.append(record_of(cells_of(other)[0], 1.0))
    summary = summarise(experiment, records)
    assert summary.results["a", "labels"].values[0] == 50.0
    assert summary.notes == [
        "1 records of other arms or settings are left out.",
        "Runs of different presets are mixed in a/labels: run those again.",
    ]


def test_resumed_runs_tell_no_time(experiment):
    records = all_records(experiment)
    for record in records:
        record["resumed"] = record["identity"]["seed"] > 0
        record["seconds"] = 10.0 + record["identity"]["seed"]
    assert summarise(experiment, records).results["a", "control"].seconds == 10.0


def test_tables_as_markdown(experiment):
    per_a, _, overview, steps = map(
        markdown_table, all_tables(summarise(experiment, all_records(experiment)))
    )
    assert per_a.splitlines()[2:4] == [
        "| control | 3 | 41.00 ± 1.00 | - | - | 51.0 | 41.0 | 31.0 | 30 s |",
        "| labels | 3 | 43.20 ± 1.20 | +2.20\\* [+1.70, +2.70] | control | 53.2 | 43.2 | 33.2 "
        "| 30 s |",
    ]
    assert "| labels | 43.2 (+2.2\\*) | 48.0 (+2.0\\*) |" in overview
    assert "| delta - labels | -1.20\\* [-1.70, -0.70] | -1.00\\* [-1.00, -1.00] |" in steps


def test_json_is_json(experiment):
    table = summary_json(summarise(experiment, all_records(experiment), "bootstrap"))
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert table["interval"] == {"level": 0.95, "method": "bootstrap"}
    labels = next(row for row in table["results"] if (row["data"], row["arm"]) == ("a", "labels"))
    assert labels["differences"]["control"]["mean"] == pytest.approx(2.2)
    assert 2.0 <= labels["differences"]["control"]["interval"][0] <= 2.2
    assert {(row["arm"], row["against"]) for row in table["over_data"]} == {
        ("labels", "control"), ("delta", "control"), ("delta", "labels"),
    }  # fmt: skip


def test_the_document_says_what_helps(experiment):
    summary = summarise(experiment, all_records(experiment))
    text = document(summary, "gaufuse experiment FILE --report", "steps.svg")
    assert text.startswith("# Steps\n\nWritten by `gaufuse experiment FILE --report`")
    assert "| labels - control | a, b | - | - | - |" in text
    assert "| delta - labels | - | a, b | - | - |" in text
    assert "![arms by data set](steps.svg)" in text
    assert "Two simulated sets. `gaufuse simulate OUT`, data seeds 5, 6." in text
    assert "| labels | - | `--set x=1` |" in text
    assert "- 27 runs, 0.2 hours of one core, 2026-01-02 to 2026-01-02" in text
    assert "- gaufuse 0.1.0, commit abc, torch 2" in text
    one_seed = [r for r in all_records(experiment) if r["identity"]["seed"] == 0]
    text = document(summarise(experiment, one_seed), "x", None)
    assert "| labels - control | b | - | - | a |" in text
    assert "There is no finished run yet." in document(summarise(experiment, []), "x", None)


def test_report_needs_no_data_and_writes_everything(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    path = write_experiment(tmp_path, monkeypatch)
    assert main(["experiment", str(path)]) == 0
    monkeypatch.delenv("TINY_DATA")
    arguments = ["experiment", str(path), "--report", "--records", "runs/try/records.jsonl"]
    arguments += ["--json", "r.json", "--plot", "plots/r.svg", "--write", "r.md"]
    (tmp_path / "plots").mkdir()
    capsys.readouterr()
    assert main(arguments) == 0
    assert "+2.20* [+1.70, +2.70]" in capsys.readouterr().out
    assert json.loads(Path("r.json").read_text())["title"] == "Do labels help?"
    text = Path("r.md").read_text()
    assert "![arms by data set](plots/r.svg)" in text
    assert str(tmp_path) not in text.replace(str(path), "")
    drawn = Path("plots/r.svg").read_text()
    shown = " ".join(xml.etree.ElementTree.fromstring(drawn).itertext())
    assert "full" in shown
    assert "+2.20 [+1.70, +2.70]" in shown
    before = (text, drawn)
    assert main(arguments) == 0  # the same records, the same files
    assert (Path("r.md").read_text(), Path("plots/r.svg").read_text()) == before


def test_json_on_stdout_is_alone_there(tmp_path, monkeypatch, capsys):
    path = write_experiment(tmp_path, monkeypatch, EXPERIMENT)
    assert main(["experiment", str(path), "--only", "*/0", "--json", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 2
    assert main(["experiment", str(path), "--report", "--only", "control", "--json", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 1


def test_phases_beside_the_control_then_and_at_its_best(experiment):
    """On a: the control is best early (50 + seed, then 41 + seed), labels end at 47, 48, 52."""
    scores = {
        "control": lambda seed: [50.0 + seed, 41.0 + seed],
        "labels": lambda seed: [50.0 + seed, [47.0, 48.0, 52.0][seed], 60.0 + seed],
    }
    names = ["base model", "pseudo labels", "student 1"]
    records = []
    for cell in cells_of(experiment):
        if cell.data == "a" and cell.arm in scores:
            values = scores[cell.arm](cell.seed)
            evaluations = [
                {"epoch": i, "phase": name, "average_map": value}
                for i, (name, value) in enumerate(zip(names, values, strict=False))
            ]
            records.append(record_of(cell, values[-1], evaluations=evaluations))
    summary = summarise(experiment, records)
    table = phase_table(summary, "a")
    assert [row[:3] for row in table.rows] == [
        ["labels", "base model", "51.00 ± 1.00"],
        ["labels", "pseudo labels", "49.00 ± 2.65"],
        ["labels", "student 1", "61.00 ± 1.00"],
    ]
    assert [row[3].split()[0] for row in table.rows] == ["+0.00", "+7.00*", "+19.00*"]
    # 47 - 50, 48 - 51, 52 - 52: mean -2, standard deviation 1.732; t(0.975, 2) = 4.302653
    assert table.rows[1][4] == "-2.00 [-6.30, +2.30]"
    assert table.rows[2][4].startswith("+10.00*")
    assert "By phase of training" in document(summary, "a command", None)


def test_an_arm_that_is_a_phase_of_another_one():
    arms = GRID["arms"] | {
        "early": {"of": "labels", "phase": "pseudo labels", "against": "control"},
        "delta": {"arguments": "--set x=2", "against": "early"},
    }
    experiment = Experiment.model_validate(GRID | {"arms": arms})
    assert {cell.arm for cell in cells_of(experiment)} == {"control", "labels", "delta"}
    records = all_records(experiment)
    for record in records:
        if record["arm"] == "labels":
            record["evaluations"] = [
                {"epoch": 1, "phase": "base model", "average_map": 10.0},
                {"epoch": 2, "phase": "pseudo labels", "average_map": 40.5},
                {"epoch": 3, "phase": "delta labels", "average_map": record["average_map"]},
            ]
    summary = summarise(experiment, records)
    assert summary.differences("a", "early", "control") == [0.5, -0.5, -1.5]
    assert summary.differences("a", "delta", "early") == [0.5, 1.5, 2.5]
    [row] = [row for row in next(all_tables(summary)).rows if row[0] == "early"]
    assert row[1:3] == ["-", "40.50 ± 0.00"]
    assert row[-1] == "-"
    assert "labels, at the end of its phase 'pseudo labels'" in document(summary, "x", None)
    early = [r for r in summary_json(summary)["results"] if r["arm"] == "early"]
    assert [r["runs"] for r in early] == [0, 0]
    assert early[0]["map"] == []
    # Whoever wants the phase alone needs the runs that have it.
    for only in (["early"], ["a/early/*", "b/early/*"]):
        assert {cell.arm for cell in cells_of(experiment, only)} == {"labels"}
        assert summarise(experiment, records, only=only).results["a", "early"].values


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"of": "labels"}, "give both"),
        ({"of": "labels", "phase": "x", "arguments": "--control"}, "has no arguments"),
        ({"of": "labels", "phase": "x", "data": "a"}, "has no data"),
        ({"of": "nobody", "phase": "x"}, "'nobody' is no arm that has runs"),
        ({"of": "early", "phase": "x"}, "'early' is no arm that has runs"),
    ],
)
def test_a_phase_of_nothing_is_refused(arm, said):
    with pytest.raises(ValueError, match=said):
        Experiment.model_validate(GRID | {"arms": GRID["arms"] | {"early": arm}})


def test_labels_against_segments_are_told_where_records_have_them(experiment):
    def labels(seed: int) -> list[dict]:
        return [
            {"epoch": 2, "coverage": 0.2, "average_precision": 0.5 + seed / 10, "best_gain": None},
            {"epoch": 4, "coverage": 0.2, "average_precision": 0.6, "best_gain": -0.2},
            {"epoch": 6, "coverage": 0.2, "average_precision": 0.7, "best_gain": -0.4 - seed / 5},
        ]

    records = [
        record_of(cell, 50.0, labels=labels(cell.seed) if cell.arm == "labels" else [{"epoch": 2}])
        for cell in cells_of(experiment)
        if cell.data == "a"
    ]
    summary = summarise(experiment, records)
    (row,) = label_table(summary).rows
    # Gains of the seeds: -0.3, -0.4, -0.5.
    assert row == ["a", "labels", "3", "0.600", "0.700", "-0.40* [-0.65, -0.15]"]
    assert "## Labels against annotated segments" in document(summary, "command", None)
    earlier = next(record for record in records if record["arm"] == "labels")
    earlier["labels"] = [{"epoch": 2, "coverage": 0.2}]
    assert label_table(summarise(experiment, records)) is None


def test_runs_without_phases_have_no_such_table(experiment):
    summary = summarise(experiment, all_records(experiment))
    assert phase_table(summary, "a") is None
    assert "By phase" not in document(summary, "a command", None)
