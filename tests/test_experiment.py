"""`gaufuse experiment`: what is run, what is not run again, and what stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiment_setups import EXPERIMENT, calls, fake_command, records, write_experiment
from gaufuse.cli.main import main
from gaufuse.experiment import processes
from gaufuse.experiment.definition import cells_of, load_experiment
from gaufuse.experiment.records import append_record, read_records
from training_setups import SHORT


def test_cells_are_run_once_and_recorded(tmp_path, monkeypatch, capsys):
    path = write_experiment(tmp_path, monkeypatch)
    assert main(["experiment", str(path)]) == 0
    found = records(tmp_path)
    assert {(r["arm"], r["identity"]["seed"]) for r in found} == {
        (arm, seed) for arm in ("control", "full") for seed in range(3)
    }
    assert {r["identity"]["seed"] for r in found[:2]} == {0}  # seeds outermost
    full = next(r for r in found if r["arm"] == "full" and r["identity"]["seed"] == 1)
    assert full["average_map"] == pytest.approx(43.2)
    assert full["map"] == pytest.approx([44.2, 42.2])
    assert full["base_average_map"] == 30.0
    assert full["evaluations"][0] == {"epoch": 2, "average_map": 30.0}
    assert full["labels"] == [{"epoch": 2, "coverage": 0.25}]
    assert full["status"] == "finished"
    assert full["seconds"] > 0
    assert full["versions"]["torch"]
    assert full["identity"]["path"] == "$TINY_DATA/data"
    assert str(tmp_path) not in json.dumps(found)
    # +2.0, +2.2, +2.4: mean 2.2, standard deviation 0.2, t(0.975, 2) = 4.3027
    assert "+2.20* [+1.70, +2.70]" in capsys.readouterr().out
    assert not list((tmp_path / "runs" / "try" / "runs").iterdir())
    assert main(["experiment", str(path)]) == 0
    assert len(calls(tmp_path)) == len(records(tmp_path)) == 6
    assert main(["experiment", str(path), "--again", "--only", "*/full/0"]) == 0
    assert len(calls(tmp_path)) == 7


def test_runs_get_one_thread_and_their_arguments(tmp_path, monkeypatch):
    path = write_experiment(tmp_path, monkeypatch)
    cell = next(c for c in cells_of(load_experiment(path)) if c.arm == "full" and c.seed == 2)
    monkeypatch.undo()
    command = processes.command_of(cell, Path("DATA"), Path("RUN"))
    assert (
        command[3:]
        == (
            f"{os.getpid()} train DATA --output RUN --config simulated --set testing.margin=2 "
            "--seed 2 --threads 1 --resume"
        ).split()
    )
    log = tmp_path / "log"
    shown = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'])"
    run = processes.start(cell, [sys.executable, "-S", "-c", shown], log)
    assert run.process.wait() == 0
    assert log.read_text() == "1 PASSIVE\n"


def test_what_has_changed_is_run_anew(tmp_path, monkeypatch):
    path = write_experiment(tmp_path, monkeypatch)
    assert main(["experiment", str(path)]) == 0
    path.write_text(EXPERIMENT.replace("margin=2", "margin=3"))
    assert main(["experiment", str(path)]) == 0
    assert [call.count("testing.margin=3") for call in calls(tmp_path)] == [0] * 6 + [1] * 3
    path.write_text(EXPERIMENT)  # back: still known
    assert main(["experiment", str(path)]) == 0
    assert len(calls(tmp_path)) == 9
    # Renamed, and a second arm of the same arguments: nothing new to run.
    renamed = EXPERIMENT.replace("[arms.full]", "[arms.labels]")
    renamed += '[arms.twin]\narguments = "--set testing.margin=2"\n'
    path.write_text(renamed)
    assert main(["experiment", str(path)]) == 0
    assert len(calls(tmp_path)) == 9
    # The data set's annotations have changed.
    annotations = tmp_path / "data" / "annotations.json"
    annotations.write_text(annotations.read_text() + " ")
    assert main(["experiment", str(path), "--only", "control"]) == 0
    assert len(calls(tmp_path)) == 12


def test_only_may_be_given_more_than_once(tmp_path, monkeypatch):
    path = write_experiment(tmp_path, monkeypatch)
    only = ["--only", "*/full/0", "--only", "*/full/1", "*/control/2"]
    assert main(["experiment", str(path), *only]) == 0
    assert sorted((record["arm"], record["identity"]["seed"]) for record in records(tmp_path)) == [
        ("control", 2),
        ("full", 0),
        ("full", 1),
    ]


def test_an_edited_preset_is_run_anew(tmp_path, monkeypatch):
    own = tmp_path / "own.toml"
    own.write_text('base = "simulated"\n')
    text = EXPERIMENT.replace("--config simulated", f"--config {own}")
    path = write_experiment(tmp_path, monkeypatch, text)
    for lines, runs in (("", 2), ("", 2), ("[model]\nscale = 11.0\n", 4)):
        own.write_text('base = "simulated"\n' + lines)
        assert main(["experiment", str(path), "--only", "*/0"]) == 0
        assert len(calls(tmp_path)) == runs


def test_a_failure_stops_nothing_and_is_told(tmp_path, monkeypatch, capsys):
    text = EXPERIMENT + '[arms.broken]\narguments = "--set testing.min_length=7"\n'
    text += '[arms.silent]\narguments = "--set testing.min_length=8"\n'
    path = write_experiment(tmp_path, monkeypatch, text)
    assert main(["experiment", str(path), "--only", "*/0"]) == 1
    shown = capsys.readouterr().out
    assert "tiny/broken/0 failed" in shown
    assert "2 of 4 cells failed" in shown
    assert "Failed: tiny/broken, tiny/silent." in shown
    found = {record["arm"]: record for record in records(tmp_path)}
    assert found["full"]["status"] == "finished"
    assert found["broken"]["status"] == "failed"
    assert found["broken"]["error"].startswith("training on $TINY_DATA/data\n")
    assert "the loss is not finite in OUTPUT/runs/" in found["broken"]["error"]
    assert found["broken"]["error"].endswith("exit status 1")
    assert "left no usable metrics.json" in found["silent"]["error"]
    assert str(tmp_path) not in json.dumps(found)
    # It is tried again, what has ended is not.
    assert main(["experiment", str(path), "--only", "*/0"]) == 1
    assert len(calls(tmp_path)) == 6


def test_a_torn_last_line_is_cut(tmp_path, monkeypatch, capsys):
    path = write_experiment(tmp_path, monkeypatch)
    assert main(["experiment", str(path)]) == 0
    file = tmp_path / "runs" / "try" / "records.jsonl"
    whole = file.read_text()
    file.write_text(whole[:-40])
    lost = json.loads(whole.splitlines()[-1])
    assert len(read_records(file)) == 5
    assert main(["experiment", str(path)]) == 0
    assert len(calls(tmp_path)) == 7
    again = records(tmp_path)
    assert len(again) == 6
    assert again[-1]["identity"] == lost["identity"]
    file.write_text(whole + "{}\n")
    assert main(["experiment", str(path)]) == 2
    assert "line 7, is no record" in capsys.readouterr().err
    append_record(tmp_path / "new.jsonl", again[0])
    assert read_records(tmp_path / "new.jsonl") == [again[0]]


def test_an_interruption_ends_the_runs_and_the_rest_is_done_later(tmp_path, monkeypatch, capsys):
    path = write_experiment(tmp_path, monkeypatch)
    started = []
    start = processes.start

    def interrupted(cell, command, log):
        if len(started) == 3:
            raise KeyboardInterrupt
        if len(started) == 1:
            command = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
        started.append(start(cell, command, log))
        return started[-1]

    monkeypatch.setattr(processes, "start", interrupted)
    began = time.monotonic()
    assert main(["experiment", str(path)]) == 130
    assert time.monotonic() - began < 30
    assert "interrupted" in capsys.readouterr().err
    assert started[1].process.returncode == -signal.SIGTERM
    before = len(records(tmp_path))
    assert before < 3
    monkeypatch.setattr(processes, "start", start)
    assert main(["experiment", str(path)]) == 0
    assert len(records(tmp_path)) == 6
    assert {r["status"] for r in records(tmp_path)} == {"finished"}


def test_runs_end_with_a_killed_experiment(tmp_path):
    child = (
        "import sys, os, time; from gaufuse.experiment.child import end_with; "
        "end_with(int(sys.argv[1])); open(sys.argv[2], 'w').write(str(os.getpid())); "
        "time.sleep(60)"
    )
    parent = (
        "import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1], "
        "str(os.getpid()), sys.argv[2]], start_new_session=True).wait()"
    )
    file = tmp_path / "child"
    experiment = subprocess.Popen([sys.executable, "-c", parent, child, str(file)])
    pid = int(_wait_for(lambda: file.is_file() and file.read_text()))
    experiment.kill()
    experiment.wait()
    assert _wait_for(lambda: not _is_alive(pid))


def _wait_for(condition):
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_half_a_run_of_other_code_is_not_gone_on_with(tmp_path, monkeypatch):
    path = write_experiment(tmp_path, monkeypatch)
    checkpoint = "out / 'checkpoints/epoch-0001'"
    half = (
        "import pathlib, sys; out = pathlib.Path(sys.argv[1]); "
        f"({checkpoint}).mkdir(parents=True, exist_ok=True); "
        f"({checkpoint} / 'checkpoint.json').write_text('0'); (out / 'here').write_text('')"
    )

    def die(cell, data, output):
        return [sys.executable, "-S", "-c", half + "; import time; time.sleep(60)", str(output)]

    monkeypatch.setattr("gaufuse.experiment.provenance.commit", lambda: "a")
    monkeypatch.setattr(processes, "command_of", die)
    monkeypatch.setattr("gaufuse.experiment.grid.time.sleep", _interrupt_when(tmp_path))
    only = ["--only", "*/full/0", "--workers", "1"]
    assert main(["experiment", str(path), *only]) == 130
    monkeypatch.undo()
    write_experiment(tmp_path, monkeypatch)
    (kept,) = (tmp_path / "runs" / "try" / "runs").glob("*/here")
    for commit, is_there in (("a", True), ("b", False)):
        monkeypatch.setattr("gaufuse.experiment.provenance.commit", lambda own=commit: own)
        seen = []

        def look(cell, data, output, seen=seen):
            seen.append(kept.exists())
            return fake_command(cell, data, output)

        monkeypatch.setattr(processes, "command_of", look)
        assert main(["experiment", str(path), *only, "--again", "--keep"]) == 0
        assert seen == [is_there]
    assert [record["resumed"] for record in records(tmp_path)] == [True, False]


def _interrupt_when(folder: Path):
    def sleep(seconds: float) -> None:
        if list((folder / "runs" / "try" / "runs").glob("*/here")):
            raise KeyboardInterrupt

    return sleep


def test_dry_run_lists_and_runs_nothing(tmp_path, monkeypatch, capsys):
    path = write_experiment(tmp_path, monkeypatch)
    assert main(["experiment", str(path), "--only", "*/control/*"]) == 0
    capsys.readouterr()
    assert main(["experiment", str(path), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "3 runs finished earlier, 3 to do" in shown
    assert "finished  tiny/control/1  gaufuse train --config simulated" in shown
    assert "to do     tiny/full/2  gaufuse train --config simulated --set testing.margin=2" in shown
    assert "with 2 side by side" in shown
    assert len(calls(tmp_path)) == 3


def test_data_that_a_machine_lacks_is_left_out(tmp_path, monkeypatch, capsys):
    text = EXPERIMENT + '[data.real]\npath = "${NOT_SET_ANYWHERE}/real"\n'
    path = write_experiment(tmp_path, monkeypatch, text)
    assert main(["experiment", str(path), "--only", "*/0"]) == 0
    assert "data set real is left out: NOT_SET_ANYWHERE is not set" in capsys.readouterr().out
    monkeypatch.setenv("NOT_SET_ANYWHERE", str(tmp_path / "absent"))
    assert main(["experiment", str(path), "--only", "*/0"]) == 2
    assert "absent/real is no data set folder" in capsys.readouterr().err


def test_mistakes_are_found_before_anything_runs(tmp_path, monkeypatch, capsys):
    def error_of(old: str, new: str) -> str:
        assert old in EXPERIMENT
        path = write_experiment(tmp_path, monkeypatch, EXPERIMENT.replace(old, new))
        assert main(["experiment", str(path)]) == 2
        return capsys.readouterr().err

    assert "seeds: Field required" in error_of("seeds = [0, 1, 2]", "")
    assert "arms.full.against: 'best' is none of the arms" in error_of('"control"', '"best"')
    assert "an arm is not its own control" in error_of('"control"', '"full"')
    assert "give either path or simulate" in error_of("path =", "simulate = []\npath =")
    assert "'a b': a name has letters" in error_of("[arms.control]", '[arms."a b"]')
    assert "no data set matches 'huge'" in error_of('"control"', '"control"\ndata = "huge"')
    assert "arms.full: " in error_of("--set testing.margin=2", "--sett a=1")
    assert "testing.margni: Extra" in error_of("testing.margin=2", "testing.margni=2")
    assert "has {base}, which is no value" in error_of("testing.margin=2", "testing.margin={base}")
    assert "is not valid TOML" in error_of("seeds =", "seeds")
    assert not calls(tmp_path)
    path = write_experiment(tmp_path, monkeypatch)
    assert main(["experiment", str(path), "--only", "nothing"]) == 2
    assert "no cell matches" in capsys.readouterr().err
    assert main(["experiment", str(path), "--workers", "0"]) == 2
    assert main(["experiment", "absent.toml"]) == 2


def test_seeds_data_seeds_and_filters(tmp_path, monkeypatch):
    text = """
    seeds = [4, 5]
    arguments = "--first"
    [data.real]
    path = "$ROOT/fold{seed}"
    seeds = [7]
    values = { end = 9 }
    arguments = ["--set", "selection.seed={seed}"]
    [data.made]
    simulate = "--classes 3"
    data_seeds = [1, 2]
    values = { end = 8 }
    [data.same]
    simulate = []
    [arms.control]
    [arms.full]
    data = ["made", "real"]
    arguments = "--set a='[1, {end}]'"
    on = { "re*" = "--set b={seed}", made = ["--set", "c={data_seed}"] }
    [arms.linear]
    kind = "linear"
    data = "real"
    """
    path = tmp_path / "grid.toml"
    path.write_text(text)
    cells = {cell.name: cell for cell in cells_of(load_experiment(path))}
    assert list(cells) == [
        "real/control/7", "real/full/7", "real/linear/7",
        "made-1/control/4", "made-2/control/4", "made-1/full/4", "made-2/full/4",
        "same-4/control/4",
        "made-1/control/5", "made-2/control/5", "made-1/full/5", "made-2/full/5",
        "same-5/control/5",
    ]  # fmt: skip
    real = cells["real/full/7"]
    assert real.path == "$ROOT/fold7"
    assert " ".join(real.arguments) == "--first --set selection.seed=7 --set a=[1, 9] --set b=7"
    assert " ".join(cells["made-2/full/5"].arguments) == "--first --set a=[1, 8] --set c=2"
    assert cells["real/linear/7"].arguments == ()  # not arguments of `gaufuse train`
    assert cells["same-4/control/4"].data_seed == 4
    only = cells_of(load_experiment(path), ["same", "made-2/*/5"])
    assert {cell.name for cell in only} == {
        "same-4/control/4", "same-5/control/5", "made-2/control/5", "made-2/full/5",
    }  # fmt: skip


def test_real_runs(tmp_path, monkeypatch, capsys):
    """A simulated data set, trained on by `gaufuse train` and by the outside baseline."""
    settings = ", ".join(json.dumps(word) for setting in SHORT for word in ("--set", setting))
    path = tmp_path / "real.toml"
    path.write_text(
        f"""
        seeds = [3]
        workers = 2
        [data.simulated]
        simulate = "--profile small --training-videos 9 --testing-videos 6 --feature-dim 12"
        [arms.full]
        arguments = [{settings}]
        against = "linear"
        [arms.linear]
        kind = "linear"
        arguments = "--epochs 3"
        """
    )
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", str(path), "--keep"]) == 0, capsys.readouterr().out
    found = {r["arm"]: r for r in read_records(tmp_path / "runs" / "real" / "records.jsonl")}
    for arm in ("full", "linear"):
        (folder,) = (tmp_path / "runs" / "real" / "runs").glob(f"simulated-3_{arm}_3-????????")
        metrics = json.loads((folder / "metrics.json").read_text())
        assert found[arm]["average_map"] == metrics["average_map"]
    assert [entry["epoch"] for entry in found["full"]["evaluations"]] == [2, 4, 7]
    first, *others = found["full"]["labels"]
    assert [refresh["epoch"] for refresh in (first, *others)] == [2, 4, 5]
    assert 0.0 < first["average_precision"] < 1.0
    assert first["best_gain"] is None
    assert all(isinstance(refresh["best_gain"], float) for refresh in others)
    assert main(["experiment", str(path)]) == 0
    assert "2 runs finished earlier, 0 to do" in capsys.readouterr().out
