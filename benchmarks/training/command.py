"""How fast training is: a step, its memory, and what labels cost beside an epoch."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.training.inputs import VIDEOS, RandomVideos, spread_lengths
from benchmarks.training.labels import measure_labels, show_labels
from benchmarks.training.memory import measure_memory, show_memory
from benchmarks.training.parts import measure_step_and_refresh, show_parts
from benchmarks.training.steps import WAYS, measure_case, show_step
from gaufuse.benchmark.machine import describe_machine
from gaufuse.utils.files import write_json
from gaufuse.utils.malloc import keep_freed_memory

PARTS = (*WAYS, "mixed", "parts", "memory", "labels")


@dataclass(frozen=True)
class Sizes:
    feature_dim: int
    lengths: tuple[int, ...]
    mixed: tuple[int, int]  # shortest and longest
    memory_lengths: tuple[int, ...]
    label_videos: int


FULL = Sizes(2048, (150, 750, 3000), (150, 3000), (375, 750, 1500, 3000), 200)
QUICK = Sizes(256, (50, 150), (20, 150), (500, 1000), 20)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, metavar="PART", help=f"some of {', '.join(PARTS)}"
    )
    parser.add_argument(
        "--lengths", nargs="+", type=int, metavar="T", help="snippets a video (default: all)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")


def run(options: argparse.Namespace) -> None:
    # On random features the gradients of the T x T inverse are denormal numbers, which cost the
    # literal step ten times its time on a CPU. That would flatter us: real features have few.
    torch.set_flush_denormal(True)
    keep_freed_memory()  # as `gaufuse train` does
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {options.device}: no CUDA device here")
    if options.json and not Path(options.json).parent.is_dir():
        raise ValueError(f"{options.json}: no such folder")
    if options.lengths and min(options.lengths) < 1:
        raise ValueError(f"--lengths must be at least 1, got {min(options.lengths)}")
    sizes = QUICK if options.quick else FULL
    # Compiling takes minutes on a few cores: only when it is asked for.
    parts = options.only or [part for part in PARTS if part != "compile"]
    ways = [way for way in WAYS if way in parts]
    cases = {}
    if ways:
        cases = {f"T = {n}": [n] * VIDEOS for n in options.lengths or sizes.lengths}
    if "mixed" in parts:
        shortest, longest = sizes.mixed
        cases[f"T = {shortest} to {longest}"] = spread_lengths(shortest, longest, VIDEOS)
    report: dict = {"machine": describe_machine(device), "threads": torch.get_num_threads()}
    report["steps"] = []
    if cases:
        print(f"{'':18}{'way':14}{'seconds':>9}{'videos/s':>11}{'literal/it':>12}{'of floor':>10}")
    for name, lengths in cases.items():
        for row in measure_case(name, lengths, sizes.feature_dim, ways or ["step"], device):
            report["steps"].append(row)
            show_step(row)
    if "parts" in parts and device.type == "cpu":
        report["parts"] = []
        for length in options.lengths or sizes.lengths:
            for row in measure_step_and_refresh(length, sizes.feature_dim):
                report["parts"].append(row)
                show_parts(row)
    if "memory" in parts:
        report["memory"] = measure_memory(sizes.memory_lengths, sizes.feature_dim, device)
        show_memory(report["memory"], sizes.feature_dim)
    if "labels" in parts:
        spread = spread_lengths(*sizes.mixed, sizes.label_videos)
        report["labels"] = measure_labels(RandomVideos(spread, sizes.feature_dim), device)
        show_labels(report["labels"])
    if options.json:
        write_json(options.json, report)
