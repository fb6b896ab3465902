"""Peak memory of a training step by the length of its videos."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.training.inputs import VIDEOS
from benchmarks.training.steps import Case
from gaufuse.benchmark.timing import peak_memory
from gaufuse.utils.malloc import return_freed_memory

WAYS = ("step", "literal")


def measure_memory(
    lengths: tuple[int, ...], feature_dim: int, device: torch.device, ways: tuple[str, ...] = WAYS
) -> list[dict]:
    """A row a way and length: peak bytes beside the batch itself, for ten videos.

    On the CPU each in a new process, whose largest resident size tells: in one process what an
    earlier case has left with the allocator would hide what a later one takes.
    """
    rows = []
    for way in ways:
        before = None
        for length in lengths:
            row = {"way": way, "length": length, "snippets": VIDEOS * length}
            row["peak_bytes"] = _peak_bytes(way, length, feature_dim, device)
            if before is not None:
                more = row["snippets"] - before["snippets"]
                row["bytes_a_snippet"] = (row["peak_bytes"] - before["peak_bytes"]) / more
            rows.append(row)
            before = row
    return rows


def _peak_bytes(way: str, length: int, feature_dim: int, device: torch.device) -> int:
    if device.type == "cuda":
        call = Case([length] * VIDEOS, feature_dim, device).calls()[way]
        call()
        return peak_memory(call, device)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_peak_resident, way, length, feature_dim).result()


def _peak_resident(way: str, length: int, feature_dim: int) -> int:
    return_freed_memory()  # what is kept from before would count as there already
    torch.set_flush_denormal(True)
    call = Case([length] * VIDEOS, feature_dim, torch.device("cpu")).calls()[way]
    before = _status("VmRSS")
    call()
    call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    """Bytes, of Linux; getrusage's maximum would begin with that of the process that started us."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


def show_memory(rows: list[dict], feature_dim: int) -> None:
    print("peak memory of a step on ten videos, and by how much it grows, in arrays of embedded")
    print(f"snippets ({4 * feature_dim} bytes a snippet)")
    for row in rows:
        growth = ""
        if "bytes_a_snippet" in row:
            growth = f"{row['bytes_a_snippet'] / (4 * feature_dim):8.2f}"
        print(f"{row['way']:10}T = {row['length']:<8}{row['peak_bytes'] / 1e6:9.0f} MB{growth}")
