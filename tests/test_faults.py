"""What a machine does to a run: signals, kills, full and read-only disks, lost files, a clock that
jumps, data that change. Unharmed each time, or to be gone on with to the same bits."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gaufuse.cli.main import main
from gaufuse.experiment.plot import save_plot
from gaufuse.model.checkpoint import latest_checkpoint, load_checkpoint
from gaufuse.training import stop_signal
from gaufuse.training.stop_signal import Stopped, StopRequest
from gaufuse.training.trainer import Trainer
from gaufuse.utils.files import write_folder_atomically
from training_setups import SHORT, tiny_dataset

# A checkpoint after epoch 3 is due, and then only where the target changes: 2, 4 and 7.
SETTINGS = [setting for setting in SHORT if "checkpoint_every" not in setting]
SETTINGS += ["schedule.checkpoint_every=3", "schedule.checkpoints_kept=9"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("faults") / "data")


@pytest.fixture(scope="module")
def whole(data) -> Path:
    """A run that nothing happened to."""
    assert train(data, data.parent / "whole") == 0
    return data.parent / "whole"


@pytest.fixture(scope="module")
def cut(data) -> Path:
    """A run that was stopped after epoch 5; copy it to go on with it."""
    run = data.parent / "cut"
    with pytest.MonkeyPatch.context() as patch:
        at_epoch(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(data, run) == 143
    return run


@pytest.fixture(scope="module", autouse=True)
def signals_as_in_a_terminal():
    """A shell's background process, as these tests may be one, ignores Ctrl-C."""
    before = {number: signal.getsignal(number) for number in stop_signal.SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def train(data: Path, run: Path, *more: str) -> int:
    words = ["train", str(data), "--output", str(run), "--threads", "1", *more]
    return main([*words, *(word for setting in SETTINGS for word in ("--set", setting))])


def at_epoch(patch: pytest.MonkeyPatch, epoch: int, happens, method: str = "_train_epoch") -> None:
    """Something happens right before a method of the trainer is called in an epoch."""
    call = getattr(Trainer, method)

    def and_then(trainer: Trainer, *arguments):
        if trainer.epoch == epoch:
            happens()
        return call(trainer, *arguments)

    patch.setattr(Trainer, method, and_then)


def assert_ended_the_same(whole: Path, run: Path) -> None:
    for name in ("metrics.json", "predictions.json", "log.jsonl"):
        assert (whole / name).read_bytes() == (run / name).read_bytes(), name
    weights = [latest_checkpoint(r / "checkpoints") / "model.safetensors" for r in (whole, run)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


# SIGTERM and Ctrl-C


@pytest.mark.parametrize(
    ("number", "epoch", "method", "status"),
    [
        (signal.SIGTERM, 5, "_train_epoch", 143),  # no checkpoint is due there
        (signal.SIGINT, 2, "_evaluate", 130),  # the evaluation that has begun is kept
        (signal.SIGINT, 7, "_train_epoch", 130),  # its evaluation is left to the resumed run
    ],
)
def test_a_run_that_is_asked_to_end_leaves_a_checkpoint(
    data, whole, tmp_path, monkeypatch, capfd, number, epoch, method, status
):
    before = [signal.getsignal(each) for each in stop_signal.SIGNALS]
    with monkeypatch.context() as patch:
        at_epoch(patch, epoch, lambda: os.kill(os.getpid(), number), method)
        assert train(data, tmp_path / "run") == status
    name, error = signal.Signals(number).name, capfd.readouterr().err
    assert f"gaufuse: {name}: stopping at the end of this epoch, with a checkpoint" in error
    assert error.splitlines()[-1] == (
        f"gaufuse: stopped by {name} after epoch {epoch}, with a checkpoint; go on with --resume"
    )
    assert [signal.getsignal(each) for each in stop_signal.SIGNALS] == before
    assert load_checkpoint(latest_checkpoint(tmp_path / "run" / "checkpoints")).epoch == epoch
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert train(data, tmp_path / "run", "--resume") == 0
    assert_ended_the_same(whole, tmp_path / "run")


def test_asked_twice_a_run_ends_at_once(data, whole, tmp_path, monkeypatch, capsys):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(stop_signal, "ONE_REQUEST_SECONDS", 0.0)
        at_epoch(patch, 6, twice)
        assert train(data, tmp_path / "run") == 143
    assert "stopped by SIGTERM at once, with the last checkpoint" in capsys.readouterr().err
    assert load_checkpoint(latest_checkpoint(tmp_path / "run" / "checkpoints")).epoch == 4
    assert train(data, tmp_path / "run", "--resume") == 0
    assert_ended_the_same(whole, tmp_path / "run")


def test_a_student_that_is_cut_off_is_trained_anew(data, tmp_path, monkeypatch, capsys):
    rounds = ("rounds=1", "epochs=3", "least_steps=0", "width=8")
    students = [word for each in rounds for word in ("--set", f"second_round.{each}")]
    assert train(data, tmp_path / "whole", *students) == 0
    with monkeypatch.context() as patch:
        at_epoch(patch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM), "_train_student")
        assert train(data, tmp_path / "run", *students) == 143
    assert "in a student, with the checkpoint of epoch 7" in capsys.readouterr().err
    assert train(data, tmp_path / "run", *students, "--resume") == 0
    assert_ended_the_same(tmp_path / "whole", tmp_path / "run")


def test_one_request_that_comes_twice_is_one(capfd):
    with StopRequest() as stop:
        for _ in range(3):  # Ctrl-C under make, or a launcher
            signal.raise_signal(signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        stop._asked_at -= 2.0
        with pytest.raises(Stopped, match="at once") as stopped:
            signal.raise_signal(signal.SIGINT)
        assert stopped.value.exit_status == 130
    assert capfd.readouterr().err.count("SIGTERM") == 1


def test_signals_that_others_handle_stay_theirs():
    def own(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, own), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            assert signal.getsignal(signal.SIGTERM) is own
            signal.raise_signal(signal.SIGINT)  # nohup: stays ignored
            assert stop.number == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


def test_outside_the_main_thread_nothing_is_handled():
    failed = []

    def enter():
        try:
            with StopRequest() as stop:
                assert stop.number == 0
        except ValueError as error:  # signal.signal raises it there
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not failed


@pytest.mark.slow
def test_processes_that_train_together_stop_together(data, tmp_path):
    """torchrun passes SIGTERM on to all its processes, each in another step."""
    words = ["--standalone", "--nproc-per-node=2", "-m", "gaufuse", "train", str(data)]
    long = [*SETTINGS[:3], "schedule.epochs=9999", "schedule.checkpoint_every=1"]
    long += ["loss.spl_weight=[{until=9999, value=1.0}]"]
    long += ["optimizer.learning_rate=[{until=9999, value=1e-4}]"]
    long += ['schedule.target=[{until=9999, kind="none"}]']
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *words, "--output", str(run)]
        + [word for setting in long for word in ("--set", setting)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 300
        while latest_checkpoint(run / "checkpoints") is None:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.terminate()
        _, error = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    ends = [line for line in error.splitlines() if "stopped by SIGTERM after epoch" in line]
    assert len(ends) == 2, error
    assert len(set(ends)) == 1
    assert "lost another one" not in error


# kill -9


def kill_commands(folder: Path, kills: int) -> dict[str, dict[str, int]]:
    program = Path(__file__).with_name("killed_commands.py")
    done = subprocess.run(
        [sys.executable, str(program), str(folder), str(kills)],
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_commands_that_are_killed_leave_whole_outputs_or_none(tmp_path):
    left = kill_commands(tmp_path, 2)
    assert len(left) == 11
    assert all(sum(kinds.values()) == 2 for kinds in left.values()), left


@pytest.mark.soak
def test_commands_that_are_killed_twenty_times(tmp_path):
    left = kill_commands(tmp_path, 20)
    assert all(sum(kinds.values()) >= 5 for kinds in left.values()), left
    for command in ("convert", "label archive", "detect", "fuse", "evaluate", "data check"):
        assert left[command]["old"] >= 2, left  # most moments are before the last rename


def test_a_folder_is_replaced_before_the_old_one_is_removed(tmp_path, monkeypatch):
    """A data set takes minutes to remove: meanwhile there must be one."""
    path, seen = tmp_path / "data", []
    write_folder_atomically(path, lambda folder: (folder / "a").write_text("old"))
    remove = shutil.rmtree

    def look(folder, *arguments, **options):
        seen.append((path / "a").read_text())
        remove(folder, *arguments, **options)

    monkeypatch.setattr("gaufuse.utils.files.shutil.rmtree", look)
    write_folder_atomically(path, lambda folder: (folder / "a").write_text("new"))
    assert seen == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    path, rename = tmp_path / "data", os.rename
    write_folder_atomically(path, lambda folder: (folder / "a").write_text("old"))

    def fail(source, target):
        if Path(target) == path and (Path(source) / "a").read_text() == "new":
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr("gaufuse.utils.files.os.rename", fail)
    with pytest.raises(OSError, match=f"cannot write {path}: Input/output error"):
        write_folder_atomically(path, lambda folder: (folder / "a").write_text("new"))
    assert (path / "a").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


# Disks


@pytest.fixture
def mount(tmp_path):
    """A tmpfs of its own; call with further options to mount it anew."""
    place = tmp_path / "disk"
    place.mkdir()

    def again(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "gaufuse-test", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no `mount`")
        if done.returncode != 0:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        return place

    yield again
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def test_training_on_a_disk_that_fills_up(data, whole, mount, capsys):
    run = mount("size=120k") / "run"
    assert train(data, run) == 2
    assert "the disk is full" in capsys.readouterr().err
    mount("remount,size=8m")
    assert train(data, run, "--resume") == 0
    assert_ended_the_same(whole, run)


@pytest.mark.filterwarnings("ignore:Attempting to set identical")
def test_a_plot_that_cannot_be_drawn_leaves_the_old_one(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    path = tmp_path / "plot.svg"
    path.write_text("the old one")

    def fail(_, target, **options):
        if isinstance(target, str | Path):
            Path(target).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure.Figure, "savefig", fail)
    nothing = SimpleNamespace(data=["videos"], arms=["one"], results={}, method="t")
    with pytest.raises(OSError, match="No space left"):
        save_plot(nothing, path)
    assert path.read_text() == "the old one"


@pytest.mark.parametrize("command", ["train", "simulate", "convert", "label", "detect", "fuse"])
def test_a_place_that_cannot_be_written_to(data, whole, tmp_path, capsys, command):
    """A file stands where a folder would have to be: so it is for root, too."""
    (tmp_path / "file").write_text("x")
    output = str(tmp_path / "file" / "out")
    assert main(writing(command, data, whole, output)) == 2
    assert_said(capsys.readouterr().err, output)


@pytest.mark.parametrize("command", ["train", "simulate", "convert", "label", "detect", "fuse"])
def test_a_read_only_disk(data, whole, mount, capsys, command):
    output = str(mount("size=64k,ro") / "out")
    assert main(writing(command, data, whole, output)) == 2
    error = capsys.readouterr().err
    assert_said(error, output)
    assert "Read-only file system" in error


def writing(command: str, data: Path, run: Path, output: str) -> list[str]:
    found = str(run / "predictions.json")
    return {
        "train": ["train", str(data), "--output", output, "--config", "simulated"],
        "simulate": ["simulate", output, "--profile", "small"],
        "convert": ["convert", str(data), output],
        "label": ["label", found, "-o", output, "--annotations", str(data)],
        "detect": ["detect", str(run), str(data), "-o", output],
        "fuse": ["fuse", found, "-o", output],
    }[command]


def assert_said(error: str, output: str) -> None:
    """One sentence that names the output, or the folder that it was to be in."""
    assert error.startswith("gaufuse: error: cannot write"), error
    assert error.count("\n") == 1
    assert str(Path(output).parent) in error


# Data that go away or change, and a clock that jumps back


def test_a_reader_thread_that_fails_ends_the_run(data, whole, tmp_path, monkeypatch, capsys):
    own = tmp_path / "data"
    shutil.copytree(data, own)
    lost = next((own / "features").glob("training_*.npy"))
    kept, threads = lost.read_bytes(), threading.active_count()
    with monkeypatch.context() as patch:
        at_epoch(patch, 4, lost.unlink)
        assert train(own, tmp_path / "run", "--set", "data.workers=2") == 2
    error = capsys.readouterr().err
    assert str(lost) in error
    assert error.count("\n") == 1
    assert threading.active_count() <= threads
    assert load_checkpoint(latest_checkpoint(tmp_path / "run" / "checkpoints")).epoch == 3
    lost.write_bytes(kept)
    assert train(own, tmp_path / "run", "--set", "data.workers=2", "--resume") == 0
    assert_ended_the_same(whole, tmp_path / "run")


def shorter(root: Path) -> None:
    path = root / "features" / "training_0002.npy"
    np.save(path, np.load(path)[:-3])


def edited(change):
    def edit(root: Path) -> None:
        path = root / "annotations.json"
        annotations = json.loads(path.read_text())
        change(annotations["database"])
        path.write_text(json.dumps(annotations))

    return edit


def relabel(database: dict) -> None:
    entries = database["training_0001"]["annotations"]
    new = {"action_0": "action_1", "action_1": "action_2", "action_2": "action_0"}
    for entry in entries:
        entry["label"] = new[entry["label"]]


def renamed_class(root: Path) -> None:
    path = root / "annotations.json"
    for file in (path, root / "dataset.toml"):
        file.write_text(file.read_text().replace("action_2", "jump"))


def narrower(root: Path) -> None:
    for path in (root / "features").iterdir():
        np.save(path, np.load(path)[:, :10])
    toml = root / "dataset.toml"
    toml.write_text(toml.read_text().replace("feature_dim = 12", "feature_dim = 10"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shorter, r"features of 'training_0002' have \d+ snippets, they had \d+"),
        (edited(relabel), "training video 'training_0001' has other labels"),
        (edited(lambda videos: videos.pop("training_0003")), "'training_0003' is gone"),
        (
            edited(lambda videos: videos["testing_0000"].update(subset="training")),
            "training video 'testing_0000' is new",
        ),
        (renamed_class, "a data set of other classes than"),
        (narrower, "a data set of other feature_dim than"),
    ],
    ids=["length", "labels", "gone", "new", "classes", "width"],
)
def test_a_data_set_that_has_changed_is_not_gone_on_with(data, cut, tmp_path, capsys, change, said):
    own, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(data, own)
    shutil.copytree(cut, run)
    change(own)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert train(own, run, "--resume") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error), error
    assert "another folder" in error
    for path, content in before.items():
        assert path.name == ".lock" or path.read_bytes() == content, path


def test_a_clock_that_jumps_back(data, whole, cut, tmp_path, monkeypatch):
    """Checkpoints are ordered by their epochs, not by their times, which are reversed here."""
    run = tmp_path / "run"
    shutil.copytree(cut, run)
    checkpoints = sorted((run / "checkpoints").iterdir())
    assert len(checkpoints) >= 3
    for years, folder in enumerate(checkpoints):
        then = 2e9 - years * 3e7
        for path in (*folder.iterdir(), folder):
            os.utime(path, (then, then))
    monkeypatch.setattr(time, "time", lambda: 1e9)
    monkeypatch.setattr(time, "time_ns", lambda: int(1e18))
    assert train(data, run, "--resume") == 0
    assert_ended_the_same(whole, run)
