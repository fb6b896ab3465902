"""The log is written as things happen and repaired when a run goes on."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from gaufuse.cli.main import main
from gaufuse.training.run_folder import FILES, prepare_folder
from gaufuse.training.run_log import RunLog
from training_setups import SHORT, tiny_dataset

SETTINGS = [word for setting in SHORT for word in ("--set", setting)]


@pytest.fixture
def folder(tmp_path):
    return prepare_folder(tmp_path / "run", False, False)


def open_log(folder, epoch: int) -> RunLog:
    return RunLog(folder, epoch, Console(file=io.StringIO()))


def test_a_record_can_be_read_as_soon_as_it_is_written(folder):
    with open_log(folder, 0) as log:
        log.write(1, "losses", {"foreground": 0.5})
        assert json.loads(folder.log.read_text()) == {
            "epoch": 1,
            "kind": "losses",
            "foreground": 0.5,
        }


def test_going_on_drops_later_records_and_half_lines(folder):
    with open_log(folder, 0) as log:
        for epoch in (1, 2, 3):
            log.write(epoch, "losses", {"foreground": 1.0 / epoch})
    whole = folder.log.read_text()
    folder.log.write_text(whole + '{"epoch": 2, "kind": "lo')
    with open_log(folder, 2) as log:
        assert folder.log.read_text().splitlines() == whole.splitlines()[:2]
        log.write(3, "losses", {"foreground": 1.0 / 3})
    assert folder.log.read_text() == whole
    with open_log(folder, 0):
        assert folder.log.read_text() == ""


def test_the_folder_explains_itself(tmp_path):
    data, run = tiny_dataset(tmp_path / "data"), tmp_path / "run"
    assert main(["train", str(data), "--output", str(run), *SETTINGS]) == 0
    description = json.loads((run / "run.json").read_text())
    assert description["data"]["videos"] == {"training": 9, "testing": 6}
    assert description["starts"][0]["device"].startswith("cpu")
    explained = {name.split("/")[0] for name in description["files"]}
    assert {entry.name for entry in run.iterdir()} == explained == {n.split("/")[0] for n in FILES}
    # Once more with --resume: the second start is told, too.
    assert main(["train", str(data), "--output", str(run), "--resume", *SETTINGS]) == 0
    starts = json.loads((run / "run.json").read_text())["starts"]
    assert [start["after_epoch"] for start in starts] == [0, 7]


def test_resume_before_the_first_checkpoint_starts_from_the_beginning(tmp_path, capsys):
    data, run = tiny_dataset(tmp_path / "data"), tmp_path / "run"
    run.mkdir()
    (run / "log.jsonl").write_text('{"epoch": 1, "kind": "losses"}\n')
    assert main(["train", str(data), "--output", str(run), "--resume", *SETTINGS]) == 0
    assert "starting from the beginning" in capsys.readouterr().out
    epochs = [json.loads(line)["epoch"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert epochs[0] == 1
    assert epochs.count(1) == 1


def test_tensorboard_has_the_same_and_the_times(folder):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with open_log(folder, 0) as log:
        log.write(1, "losses", {"foreground": 0.5})
        log.write(2, "losses", {"foreground": 0.25})
        log.write(2, "evaluation", {"average_map": 30.0, "map": [40.0, 20.0]})
        log.scalars(1, "time", {"epoch_seconds": 2.0})
    with open_log(folder, 1) as log:  # epoch 2 is done again
        log.write(2, "losses", {"foreground": 0.125})
    events = reader.EventAccumulator(str(folder.tensorboard))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "losses/foreground", "time/epoch_seconds", "evaluation/average_map",
    }  # fmt: skip
    losses = [(event.step, event.value) for event in events.Scalars("losses/foreground")]
    assert losses == [(1, 0.5), (2, 0.125)]
    assert "epoch_seconds" not in folder.log.read_text()
