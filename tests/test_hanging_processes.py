"""A hang is told from waiting for a processor."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hanging_processes

SLEEPS = "import threading; threading.Thread(target=threading.Event().wait).start()"
SPINS = "while True: pass"
WORKS = "import time; [sum(range(10_000)) or time.sleep(0.02) for _ in range(60)]"


@pytest.mark.parametrize(("program", "ends"), [(SLEEPS, False), (SPINS, False), (WORKS, True)])
def test_hangs(monkeypatch, program, ends):
    monkeypatch.setattr(hanging_processes, "MOST_ASLEEP", 1.0)
    monkeypatch.setattr(hanging_processes, "MOST_WORK", 3.0)
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    try:
        found = hanging_processes.end(
            lambda: process.poll() is not None,
            lambda: hanging_processes.of_session(process.pid),
        )
    finally:
        process.kill()
        process.wait()
    assert found == ends
