"""HiGHS of ours beside a caller's own `highspy`, in one process and one thread.

HiGHS keeps one scheduler a thread and refuses any number of threads but the scheduler's. Each case
is a process of its own: the scheduler of the tests' thread would be left from what ran before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gaufuse_ext

PROGRAM = """
import os
import sys

import highspy
import numpy as np
import torch

import gaufuse_ext as gx


def theirs(threads):
    # min x, 2 <= x <= 5: the optimum is 2.
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)
    model.setOptionValue("threads", threads)
    model.addVar(0.0, 10.0)
    model.changeColCost(0, 1.0)
    model.addRow(2.0, 5.0, 1, np.array([0]), np.array([1.0]))
    model.run()
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal, model.getModelStatus()
    assert model.getObjectiveValue() == 2.0
    return model


def ours():
    label(groups=1)  # by one thread of ours
    label(groups=3)  # by two


def label(groups):
    # One instance of confidence 0.5 a group: its snippets get 0.5.
    segments = torch.tensor([[[2.0, 6.0]]]).repeat(groups, 1, 1)
    scores = torch.full((groups, 1), 0.5)
    found = gx.linpro_labels(segments, scores, 10, backend="highs", sparsity_weight=0.0)
    expected = np.zeros((groups, 10))
    expected[:, 2:6] = 0.5
    np.testing.assert_allclose(found.labels.numpy(), expected, atol=1e-7)
    assert found.backend == ["highs"] * groups


torch.set_num_threads(2)
threads = int(sys.argv[1])
"""

CASES = {
    "theirs after ours": "ours(); theirs(threads)",
    "ours after theirs": "theirs(threads); ours()",
    "theirs again": "model = theirs(threads); ours(); model.run(); theirs(threads); ours()",
    "after they reset": "theirs(threads); ours(); highspy.Highs.resetGlobalScheduler(True); "
    "theirs(threads + 1); ours(); theirs(threads + 1)",
    "in a forked child": "theirs(threads); ours()\n"
    "if os.fork() == 0:\n    ours(); os._exit(7)\n"
    "status = os.wait()[1]; assert os.waitstatus_to_exitcode(status) == 7, status; ours()",
}


@pytest.mark.parametrize("their_threads", [1, 5])
@pytest.mark.parametrize("case", CASES)
def test_one_process_and_thread(case, their_threads):
    pytest.importorskip("highspy")
    root = str(Path(gaufuse_ext.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + CASES[case], str(their_threads)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
