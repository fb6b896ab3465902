"""The soak tells growth from what comes and goes; for an hour it is run by `make soak`."""

from __future__ import annotations

import gc
import json
import mmap
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak.operations import OPERATIONS
from benchmarks.soak.samples import MIB, Growth, Sample, growth_of, sampling, take_sample

ROOT = Path(__file__).parents[1]
STEADY = [Sample(3.0 * i, 500 * MIB + (i % 7) * MIB, 12 + i % 3, 10 + i % 2) for i in range(400)]


def test_what_comes_and_goes_is_no_growth():
    growth = growth_of(STEADY)
    assert abs(growth.slope) < 1.0
    assert growth.problems(20.0) == []


def test_what_the_warm_up_takes_is_no_growth():
    warm = [
        Sample(s.seconds, s.memory // 2 if i < 90 else s.memory, s.files, s.threads)
        for i, s in enumerate(STEADY)
    ]
    assert growth_of(warm).problems(20.0) == []


@pytest.mark.parametrize(
    ("memory", "files", "threads", "said"),
    [
        (60 * MIB / 3600, 0, 0, "memory grows by 60.0 MiB an hour, more than 20"),
        (0, 0.01, 0, "more files are open in the second half"),
        (0, 0, 0.01, "more threads are there in the second half"),
    ],
)
def test_growth_is_named(memory, files, threads, said):
    """Each by so much a second."""
    grows = [
        Sample(
            s.seconds,
            s.memory + round(memory * s.seconds),
            s.files + int(files * s.seconds),
            s.threads + int(threads * s.seconds),
        )
        for s in STEADY
    ]
    (problem,) = growth_of(grows).problems(20.0)
    assert said in problem


def test_few_samples_say_nothing():
    with pytest.raises(ValueError, match="9 samples are too few to tell"):
        growth_of(STEADY[:9])


def test_samples_are_of_this_process(tmp_path):
    gc.collect()  # nothing of other tests is to end meanwhile
    before = take_sample(0.0)
    held = mmap.mmap(-1, 64 * MIB)  # new pages, whatever malloc has at hand
    held.write(b"x" * len(held))
    with (tmp_path / "file").open("w"), sampling(0.01) as samples:
        while len(samples) < 3:
            time.sleep(0.01)
        now = samples[-1]
    assert now.memory - before.memory > 0.9 * len(held)
    assert now.files == before.files + 1
    assert now.threads == before.threads + 1  # the one that samples


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_called_with_what_they_take(name):
    for seed in range(3):
        assert OPERATIONS[name](np.random.default_rng(seed))()


def test_growth_fails_nothing_that_was_not_asked():
    assert Growth(19.9, 1, 1).problems(20.0) == []
    assert Growth(-50.0, -1, -1).problems(20.0) == []


@pytest.mark.soak
@pytest.mark.parametrize("soak", ["training", "operations"])
def test_a_minute_of_it(tmp_path, soak):
    """So short that memory may still settle: ten MiB a minute; a leaked tensor a call is more."""
    record = tmp_path / "soak.jsonl"
    arguments = ["--only", soak, "--minutes", "1", "--every", "0.5", "--slope", "600"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *arguments, "--record", str(record)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = map(json.loads, record.read_text().splitlines())
    assert found["soak"] == soak
    assert found["problems"] == []
    assert all(count > 0 for count in found["work"].values())
