"""Every command that writes, killed in the middle of it. A program, started by test_faults.py:

    killed_commands.py FOLDER KILLS

kills each command KILLS times with SIGKILL before one of its file operations, drawn at random, and
looks at what is there then: the old output, whole, the new one, whole, or nothing that passes for
one. Then it runs the command again, which must make what an undisturbed one makes. It prints how
many kills left what, by command.

As in killed_runs.py, a command is a fork of this process, which has imported everything.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from experiment_setups import EXPERIMENT, fake_command
from gaufuse.cli.main import main
from gaufuse.experiment import processes
from gaufuse.experiment.records import read_records
from gaufuse.utils.write_error import CheckedOutput
from training_setups import SHORT, tiny_dataset

VIDEOS = ["--profile", "small", "--training-videos", "4", "--testing-videos", "3"]


@dataclass(frozen=True)
class Case:
    """A command, and what was there before it."""

    name: str
    output: str  # of a file, or of a folder
    arguments: Callable[[str], list[str]]  # to write there
    before: Callable[[str], object]  # writes the old output
    last: str = ""  # of a folder, the file without which it does not pass for a whole one


def cases(root: Path) -> list[Case]:
    data, run = f"{root}/data", f"{root}/run"
    found, truth = f"{run}/predictions.json", f"{data}/annotations.json"

    def writes(path: str) -> object:
        return Path(path).write_text("the old one")

    def does(arguments: Callable[[str], list[str]], *more: str) -> Callable[[str], object]:
        return lambda path: in_a_fork([*arguments(path), *more])

    def simulates(path: str) -> list[str]:
        return ["simulate", path, *VIDEOS]

    def converts(path: str) -> list[str]:
        return ["convert", data, path, "--overwrite"]

    def labels(path: str) -> list[str]:
        return ["label", found, "-o", path, "--annotations", data]

    def detects(path: str) -> list[str]:
        return ["detect", run, data, "-o", path]

    def fuses(path: str) -> list[str]:
        return ["fuse", found, "-o", path]

    def evaluates(path: str) -> list[str]:
        return ["evaluate", found, truth, "--subset", "testing", "--json", path]

    def checks(path: str) -> list[str]:
        return ["data", "check", data, "--json", path]

    def analyses(path: str) -> list[str]:
        return ["analyse", found, truth, "--subset", "testing", "--json", path]

    def exchanges(path: str) -> list[str]:
        return ["exchange", found, "-o", path, "--to", "csv", "--overwrite"]

    return [
        Case("simulate", "sim", simulates, does(simulates, "--seed", "1"), "dataset.toml"),
        Case("convert", "own", converts, does(converts, "--resample", "20"), "dataset.toml"),
        Case("label", "labels", labels, does(labels, "--no-fusion"), "labels.json"),
        Case("label archive", "labels.npz", labels, writes),
        Case("detect", "found.json", detects, writes),
        Case("fuse", "fused.json.gz", fuses, writes),
        Case("evaluate", "map.json", evaluates, writes),
        Case("data check", "check.json", checks, writes),
        Case("analyse", "errors.json", analyses, writes),
        Case("exchange", "table.csv", exchanges, writes),
    ]


def in_a_fork(arguments: list[str], kill_at: int | None = None) -> int | None:
    """Runs a command; kills it before its n-th file operation. Returns how many there were, or
    None for a killed one."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        # torch replaces its thread pool at the first use in a fork, and two threads that come at
        # once (a reader's) break it: "Invalid thread pool!". So before there are threads.
        torch.set_num_threads(1)
        counter = _count(kill_at)
        status = main(arguments)
        os.write(write, str(next(counter)).encode())
        os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return None
    assert status == 0, (arguments, status)
    return int(said)


def _count(kill_at: int | None) -> itertools.count[int]:
    counter = itertools.count()

    def counted(operation):
        def call(*arguments, **options):
            if next(counter) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **options)

        return call

    places = (
        *((os, name) for name in ("fsync", "rename", "replace", "unlink", "chmod", "rmdir")),
        (shutil, "rmtree"),
        (tempfile, "mkstemp"),
        (CheckedOutput, "write"),
        (Path, "unlink"),
    )
    for place, name in places:
        setattr(place, name, counted(getattr(place, name)))
    return counter


def state(case: Case, path: Path) -> dict[str, bytes] | None:
    """The output's files; None where nothing passes for one. Hidden files are of a killed one."""
    if not case.last:
        return {"": path.read_bytes()} if path.exists() else None
    if not (path / case.last).is_file():
        return None
    files = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def kill(case: Case, root: Path, kills: int, rng: random.Random) -> Counter[str]:
    """What was left: "old", "new" or "none", how often each."""
    folders = {name: root / case.name / name for name in ("old", "new", "killed")}
    paths = {name: folder / case.output for name, folder in folders.items()}
    for folder in folders.values():
        folder.mkdir(parents=True)
    case.before(str(paths["old"]))
    shutil.copytree(folders["old"], folders["new"], dirs_exist_ok=True)
    operations = in_a_fork(case.arguments(str(paths["new"])))
    assert operations is not None
    wanted = {name: state(case, paths[name]) for name in ("old", "new")}
    assert None not in wanted.values()
    assert wanted["old"] != wanted["new"]
    left: Counter[str] = Counter()
    for moment in rng.sample(range(operations), min(kills, operations)):
        shutil.rmtree(folders["killed"])
        shutil.copytree(folders["old"], folders["killed"])
        assert in_a_fork(case.arguments(str(paths["killed"])), moment) is None
        is_there = state(case, paths["killed"])
        kinds = [kind for kind, files in wanted.items() if files == is_there]
        assert kinds or is_there is None, f"{case.name}, killed at {moment}: neither old nor new"
        left[kinds[0] if kinds else "none"] += 1
        in_a_fork(case.arguments(str(paths["killed"])))
        assert state(case, paths["killed"]) == wanted["new"], f"{case.name}, killed at {moment}"
    return left


def kill_experiments(root: Path, kills: int, rng: random.Random) -> Counter[str]:
    """Each start goes on where the one before was killed; in the end every run has one record."""
    os.environ["TINY_DATA"] = str(root)
    processes.command_of = fake_command
    (root / "try.toml").write_text(EXPERIMENT.replace("[0, 1, 2]", "[0, 1]"))
    output = root / "experiment" / "try"  # the fake runs list their calls beside it
    arguments = ["experiment", f"{root}/try.toml", "--output", str(output), "--workers", "1"]
    left: Counter[str] = Counter()
    for _ in range(kills):
        ended = in_a_fork(arguments, rng.randrange(5))
        left["killed" if ended is None else "ended"] += 1
    in_a_fork(arguments)
    records = read_records(output / "records.jsonl")
    found = Counter((r["identity"]["seed"], r["average_map"]) for r in records)
    assert sorted(found) == [(0, 40.0), (0, 42.0), (1, 41.0), (1, 43.2)], found
    assert set(found.values()) == {1}, found
    return left


def run_all(root: Path, kills: int) -> dict[str, dict[str, int]]:
    tiny_dataset(root / "data")
    settings = [word for setting in SHORT for word in ("--set", setting)]
    train = ["train", f"{root}/data", "--output", f"{root}/run", "--threads", "1", *settings]
    assert in_a_fork(train) is not None
    rng = random.Random(0)
    left = {case.name: dict(kill(case, root / "cases", kills, rng)) for case in cases(root)}
    return left | {"experiment": dict(kill_experiments(root, kills, rng))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(run_all(Path(sys.argv[1]), int(sys.argv[2]))))
