"""Two processes train as one does, and a process that dies ends the run in good order."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gaufuse.cli.main import main
from gaufuse.labels.pseudo_labels import LabelBank
from gaufuse.model.checkpoint import latest_checkpoint, load_checkpoint
from gaufuse.utils.distributed import World, _to_bytes
from training_setups import SHORT, tiny_dataset

# Seven videos in steps of three: in the last step one of the two processes has no video.
SETTINGS = [
    *SHORT,
    "model.dropout=0.0",
    "data.batch_size=3",
    'selection.by="validation"',
    'selection.metric="classification"',
    "selection.fraction=0.25",
]


def arguments(data: Path, run: Path, *settings: str) -> list[str]:
    words = ["train", str(data), "--output", str(run)]
    return [*words, *(word for setting in settings for word in ("--set", setting))]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 10])
def test_shares_make_up_each_step(size, batch_size):
    videos = list(range(100, 111))
    plans = [list(World(rank, size).steps(videos, batch_size)) for rank in range(size)]
    seen = []
    for shares in zip(*plans, strict=True):
        assert all(share.videos and share.counts == shares[0].counts for share in shares)
        assert max(shares[0].counts) - min(shares[0].counts) <= 1
        step = [video for share in shares for video in share.videos[: share.count]]
        assert len(step) == shares[0].total <= batch_size
        seen += step
    assert seen == videos
    assert [i for rank in range(size) for i in World(rank, size).share(videos)] == videos


def test_two_processes_train_and_evaluate_as_one(tmp_path):
    data = tiny_dataset(tmp_path / "data")
    one, two, again = (tmp_path / name for name in ("one", "two", "again"))
    assert main(arguments(data, one, *SETTINGS)) == 0
    done = train_with_two_processes(data, two, *SETTINGS)
    assert done.stdout.count("delta labels, epoch 7") == 1  # the first process alone talks
    assert json.loads((two / "run.json").read_text())["starts"][0]["processes"] == 2
    # Without dropout the runs differ by the order of sums alone.
    for expected, found in zip(records(one), records(two), strict=True):
        assert list(found) == list(expected)
        assert found.pop("kind") == expected.pop("kind")
        assert found.pop("phase", None) == expected.pop("phase", None)
        for name, value in expected.items():
            expected_value = None if value is None else pytest.approx(value, rel=1e-4, abs=1e-5)
            assert found[name] == expected_value, name
    assert_close(*(load_checkpoint(latest_checkpoint(run / "checkpoints")) for run in (one, two)))
    # From the same checkpoint, one process finds what two found.
    shutil.copytree(two, again)
    (again / "predictions.json").unlink()
    assert main([*arguments(data, again, *SETTINGS), "--resume"]) == 0
    expected, found = (
        json.loads((run / "predictions.json").read_text())["results"] for run in (two, again)
    )
    assert list(found) == list(expected)
    for video, detections in expected.items():
        assert [entry["label"] for entry in found[video]] == [e["label"] for e in detections]
        for entry, own in zip(detections, found[video], strict=True):
            assert own["score"] == pytest.approx(entry["score"], abs=1e-6)
            assert own["segment"] == pytest.approx(entry["segment"], abs=1e-6)


ONLINE = ("schedule.policy=online", "schedule.teacher_decay=0.9", "schedule.teacher_every=2")
BFLOAT16 = ("training.precision=bf16", "training.label_precision=bf16")


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    # With bf16 each process rounds its own gradient of the embedding to eight bits.
    [(ONLINE, 1e-4), ((*ONLINE, *BFLOAT16), 3e-2), (BFLOAT16, 3e-2)],
    ids=["online", "online-bf16", "bf16"],
)
def test_two_processes_with_online_labels_and_in_bfloat16(tmp_path, settings, tolerance):
    data = tiny_dataset(tmp_path / "data")
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(arguments(data, one, *SETTINGS, *settings)) == 0
    train_with_two_processes(data, two, *SETTINGS, *settings)
    for expected, found in zip(records(one), records(two), strict=True):
        if expected["kind"] in ("losses", "refresh"):
            for name, value in expected.items():
                if name != "kind":
                    assert found[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name
    first, second = (load_checkpoint(latest_checkpoint(run / "checkpoints")) for run in (one, two))
    assert first.training["teacher"]["epochs"] == second.training["teacher"]["epochs"]
    given = second.training["teacher"]["given"]
    assert len(given) == (7 if "schedule.policy=online" in settings else 0)
    for video, own in first.training["teacher"]["given"].items():
        for labels, other in zip(own, given[video], strict=True):
            assert (labels - other).abs().mean() < tolerance


def train_with_two_processes(data: Path, run: Path, *settings: str) -> subprocess.CompletedProcess:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, "-m", "gaufuse", *arguments(data, run, *settings)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done


def records(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def assert_close(one, two) -> None:
    for name, value in one.model.items():
        assert (two.model[name] - value).abs().max() < 1e-4, name
    for name, value in one.training["memory"].items():
        assert two.training["memory"][name] == pytest.approx(value.numpy(), abs=1e-3), name
    banks = LabelBank(), LabelBank()
    for bank, checkpoint in zip(banks, (one, two), strict=True):
        bank.load_state_dict(checkpoint.training["labels"])
    assert len(banks[0].current) == len(banks[1].current) == 7
    pairs = zip(banks[0].current, banks[1].current, strict=True)
    assert all((first - second).abs().max() < 1e-3 for first, second in pairs)


FIRST_FAILS = """
import sys, torch
from gaufuse.utils.distributed import joined
def work():
    raise {error}
with joined(torch.device("cpu"), 60) as world:
    world.first_does(work)
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("KeyError('subset')", "KeyError: 'subset'"),
        ("AssertionError", "AssertionError: "),
        ("ValueError('no space')", "no space"),
    ],
)
def test_whatever_ends_the_first_process_reaches_the_others(error, said):
    started = time.monotonic()
    processes = start_two("-c", FIRST_FAILS.format(error=error))
    _, other = (process.communicate(timeout=50)[1] for process in processes)
    assert all(process.returncode == 1 for process in processes)
    assert f"RuntimeError: the first process failed: {said}" in other
    assert time.monotonic() - started < 50  # and not after the 60 s that a process waits


class OnAnotherDevice(torch.Tensor):
    """Pretends to lie on a GPU, and is then copied to the CPU like one that does."""

    device = torch.device("cuda:0")

    def cpu(self):
        return torch.as_tensor(self.numpy())


def test_gathered_tensors_travel_from_the_cpu():
    """A tensor that was pickled on cuda:1 would be made anew on cuda:1 by whoever reads it."""
    values = torch.arange(3.0)
    item = {"tally": [values.as_subclass(OnAnotherDevice)], "own": values}
    found = pickle.loads(_to_bytes(item))
    assert type(found["tally"][0]) is torch.Tensor
    assert found["tally"][0].device.type == "cpu"
    assert found["tally"][0].tolist() == found["own"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.gpu
def test_gathered_tensors_of_a_gpu_arrive_on_the_cpu():
    found = pickle.loads(_to_bytes((torch.ones(2, device="cuda"), "x")))
    assert found[0].device.type == "cpu"
    assert found[0].tolist() == [1.0, 1.0]


def start_two(*command: str) -> list[subprocess.Popen]:
    """Two Python processes in the environment that torchrun would give them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env=os.environ
            | {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


# fg_center gets no gradient with this loss: the search for such parameters is on.
def test_a_process_that_dies_ends_the_run_and_leaves_a_checkpoint(tmp_path):
    data, run = tiny_dataset(tmp_path / "data"), tmp_path / "run"
    long = [
        *SETTINGS,
        'loss.video="sigmoid"',
        "loss.attention_weight=0.0",
        "loss.spl_weight=[{until=9999, value=1.0}]",
        "optimizer.learning_rate=[{until=9999, value=1e-4}]",
        "schedule.epochs=9999",
        'schedule.target=[{until=9999, kind="none"}]',
    ]
    processes = start_two("-m", "gaufuse", *arguments(data, run, *long), "--peer-timeout=20")
    try:
        deadline = time.monotonic() + 150
        while latest_checkpoint(run / "checkpoints") is None:
            assert time.monotonic() < deadline
            ended = [process for process in processes if process.poll() is not None]
            assert not ended, ended[0].stderr.read()
            time.sleep(0.05)
        left, dies = processes
        dies.send_signal(signal.SIGKILL)
        _, error = left.communicate(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert left.returncode == 2, error
    assert "process 0 of 2 lost another one" in error
    assert "--resume" in error
    assert load_checkpoint(latest_checkpoint(run / "checkpoints")).epoch >= 1
