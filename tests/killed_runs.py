"""`gaufuse train --resume`, killed again and again. A program, started by test_resume.py:

    killed_runs.py DATA OUT KILLS SETTING...

writes OUT/whole, a run that nobody disturbed; OUT/writing, the same run killed with SIGKILL at each
step of a checkpoint's writing; and OUT/random-N, killed at random moments, KILLS times, in as many
runs as that takes; all gone on with after every kill. It prints how many kills there were of each
kind.

A killed run is a fork of this process, which has done the first one and keeps to one thread: that
saves the seconds that importing torch takes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from gaufuse.cli.main import main

STEPS_OF_A_CHECKPOINT = range(4, 18)  # file operations of a run, the first ones are of its start


def start(data: str, run: str, settings: list[str], kill_at_step: int | None = None) -> int:
    """Forks a run that kills itself before its n-th file operation; returns its process id."""
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    if kill_at_step is not None:
        _count_down(kill_at_step)
    os._exit(train(data, run, settings))


def train(data: str, run: str, settings: list[str]) -> int:
    return main(["train", data, "--output", run, "--resume", "--threads", "1", *settings])


def _count_down(steps: int) -> None:
    counter = itertools.count(1)

    def counted(operation):
        def call(*arguments, **options):
            if next(counter) == steps:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **options)

        return call

    for module, name in ((os, "fsync"), (os, "rename"), (os, "replace"), (shutil, "rmtree")):
        setattr(module, name, counted(getattr(module, name)))


def wait(child: int) -> bool:
    """True for a run that has ended well, False for one that was killed."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return False
    assert os.WEXITSTATUS(status) == 0, status
    return True


def run_all(data: str, out: str, random_kills: int, settings: list[str]) -> dict[str, int]:
    with contextlib.redirect_stdout(io.StringIO()):
        assert train(data, f"{out}/whole", settings) == 0
    kills = {"writing": 0, "random": 0}
    for step in STEPS_OF_A_CHECKPOINT:
        kills["writing"] += not wait(start(data, f"{out}/writing", settings, step))
    assert wait(start(data, f"{out}/writing", settings))

    began = time.monotonic()
    assert wait(start(data, f"{out}/timed", settings))
    duration = time.monotonic() - began
    rng, runs = random.Random(0), 0
    while kills["random"] < random_kills:
        child = start(data, f"{out}/random-{runs}", settings)
        time.sleep(rng.uniform(0.0, 0.4) * duration)
        os.kill(child, signal.SIGKILL)
        if wait(child):  # it was faster: the next ones are of another run
            runs += 1
        else:
            kills["random"] += 1
    assert wait(start(data, f"{out}/random-{runs}", settings))
    return kills


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(run_all(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])))
