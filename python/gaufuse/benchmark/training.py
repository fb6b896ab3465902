"""How fast a training step is, beside the release's literal one and the embedding layer alone, and
what labels cost beside an epoch."""

from __future__ import annotations

import argparse
import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from gaufuse.benchmark.literal_step import literal_step
from gaufuse.benchmark.machine import describe_machine
from gaufuse.benchmark.timing import CpuTimer, CudaTimer, peak_memory, wait_for
from gaufuse.config import Config, load_config
from gaufuse.dataset import Batch, DatasetInfo, VideoSubset
from gaufuse.files import write_json
from gaufuse.labels import make_labels
from gaufuse.losses import LossWeights, SnippetTarget
from gaufuse.memory import ClassMemory
from gaufuse.model import SnippetModel
from gaufuse.online_labels import OnlineTeacher
from gaufuse.schedule import label_weight_at, value_at
from gaufuse.training_step import TrainingStep, make_optimizer

CLASSES, VIDEOS = 20, 10
EPOCH = 260  # memory, delta labels: every term of the loss
WAYS = ("literal", "step", "bf16", "compile")
PARTS = (*WAYS, "mixed", "labels")


@dataclass(frozen=True)
class Sizes:
    feature_dim: int
    lengths: tuple[int, ...]
    mixed: tuple[int, int]  # shortest and longest
    label_videos: int


FULL = Sizes(2048, (150, 750, 3000), (150, 3000), 200)
QUICK = Sizes(256, (50, 150), (20, 150), 20)


class RandomFeatures:
    """Non-negative features as a network's last layer gives, where FeatureFiles would be. The
    videos share one tensor: 200 long ones would not fit everywhere."""

    def __init__(self, lengths: list[int], feature_dim: int):
        self.lengths = lengths
        generator = torch.Generator().manual_seed(0)
        pool = torch.rand(2 * max(lengths), feature_dim, generator=generator).square_()
        starts = torch.randint(max(lengths) + 1, (len(lengths),), generator=generator).tolist()
        self._videos = [pool[s : s + n] for s, n in zip(starts, lengths, strict=True)]

    def __getitem__(self, i: int) -> torch.Tensor:
        return self._videos[i]

    def select(self, videos: list[int]) -> RandomFeatures:
        chosen = copy.copy(self)
        chosen.lengths = [self.lengths[i] for i in videos]
        chosen._videos = [self._videos[i] for i in videos]
        return chosen


class RandomVideos(VideoSubset):
    """Videos of one or two classes, that are on no disk."""

    def __init__(self, lengths: list[int], feature_dim: int):
        names = [f"video {i}" for i in range(len(lengths))]
        classes = [f"class {c}" for c in range(CLASSES)]
        self.info = DatasetInfo(
            root=Path(),
            name="random",
            snippet_seconds=0.64,
            snippets=None,
            feature_dim=feature_dim,
            training_subset="training",
            testing_subset="testing",
            classes=classes,
        )
        self.names = names
        self.annotations = dict.fromkeys(names)
        self.features = RandomFeatures(lengths, feature_dim)
        self.snippet_seconds = [0.64] * len(names)
        self.workers = 0
        self.pinned = False
        self.labels = torch.zeros(len(names), CLASSES)
        for i, row in enumerate(self.labels):
            row[i % CLASSES] = 1.0
            if i % 3 == 0:
                row[(i + 7) % CLASSES] = 1.0


class Case:
    """A model and one batch of ten videos."""

    def __init__(self, lengths: list[int], feature_dim: int, device: torch.device):
        self.device = device
        self.videos = RandomVideos(lengths, feature_dim)
        self.batch = self.videos.batch(list(range(len(lengths)))).to(device)
        mask = self.batch.mask.unsqueeze(-1)
        values = torch.rand(*self.batch.mask.shape, CLASSES, device=device)
        self.target = SnippetTarget(values * mask, 0.0)

    def calls(self) -> dict[str, Callable[[], object]]:
        return {
            "floor": self.floor(),
            "literal": self.literal(),
            "step": self.ours(),
            "bf16": self.ours("training.precision=bf16"),
            "compile": self.ours("training.compile=true"),
        }

    def ours(self, *overrides: str) -> Callable[[], object]:
        def prepare() -> TrainingStep:
            step = training_step(self.batch.features.shape[-1], self.device, *overrides)
            step(self.batch, self.target, EPOCH)  # fills the memory
            return step

        return _lazily(prepare, lambda step: step(self.batch, self.target, EPOCH))

    def literal(self) -> Callable[[], object]:
        batch = self.batch

        def prepare() -> TrainingStep:
            step = training_step(batch.features.shape[-1], self.device)
            step(batch, self.target, EPOCH)
            return step

        def call(step: TrainingStep) -> None:
            config = step.config
            rows, valid = step.memory.recall(batch.labels, batch.most_labels)
            literal_step(
                step.model,
                step.optimizer,
                [x[:n] for x, n in zip(batch.features, batch.sizes, strict=True)],
                batch.labels,
                [row[own] for row, own in zip(rows, valid, strict=True)],
                [x[:n] for x, n in zip(self.target.values, batch.sizes, strict=True)],
                config,
                LossWeights(
                    spl=value_at(config.loss.spl_weight, EPOCH),
                    label=label_weight_at(config, EPOCH),
                ),
            )

        return _lazily(prepare, call)

    def floor(self) -> Callable[[], object]:
        """Forward and backward of Linear and ReLU on the snippets themselves, without padding."""
        features = torch.cat(
            [x[:n] for x, n in zip(self.batch.features, self.batch.sizes, strict=True)]
        )
        layer = torch.nn.Sequential(
            torch.nn.Linear(features.shape[1], features.shape[1]), torch.nn.ReLU()
        ).to(self.device)
        gradient = torch.rand_like(features)

        def call() -> None:
            layer.zero_grad(set_to_none=True)
            layer(features).backward(gradient)

        return call


def training_step(feature_dim: int, device: torch.device, *overrides: str) -> TrainingStep:
    torch.manual_seed(0)
    config = load_config("thumos14", list(overrides))
    model = SnippetModel(feature_dim, CLASSES, config.model).to(device).train()
    memory = ClassMemory(CLASSES, config.memory.size, feature_dim, device)
    return TrainingStep(model, make_optimizer(model, config, EPOCH), memory, config)


def measure_case(
    name: str, lengths: list[int], feature_dim: int, ways: list[str], device: torch.device
) -> list[dict]:
    """One row a way. Ratios are over times of this run."""
    timer = CpuTimer() if device.type == "cpu" else CudaTimer(device)
    calls = Case(lengths, feature_dim, device).calls()
    rows = []
    for way in ["floor", *ways]:
        row = {"case": name, "way": way, "snippets": sum(lengths)}
        try:
            memory = _peak(calls[way], device)
        except Exception as error:  # torch.compile without a compiler, whatever it raises then
            if way != "compile":
                raise
            rows.append(row | {"skipped": f"{type(error).__name__}: {error}".splitlines()[0]})
            continue
        seconds = timer.measure(calls.pop(way), 1.0).fastest
        rows.append(row | {"seconds": seconds, "peak_bytes": memory})
    seconds = {row["way"]: row.get("seconds") for row in rows}
    for row in rows:
        if "seconds" in row:
            row["of_floor"] = row["seconds"] / seconds["floor"]
            if seconds.get("literal"):
                row["literal_over_it"] = seconds["literal"] / row["seconds"]
    return rows


def measure_labels(sizes: Sizes, device: torch.device) -> dict[str, float]:
    """Seconds of an epoch without labels, of one with online labels, and of a refresh.

    By a model that has seen one epoch: activations are not noise, but not those of a trained one.
    """
    shortest, longest = sizes.mixed
    videos = RandomVideos(spread_lengths(shortest, longest, sizes.label_videos), sizes.feature_dim)
    step = training_step(sizes.feature_dim, device)
    config = step.config
    order = torch.randperm(len(videos), generator=torch.Generator().manual_seed(0)).tolist()
    delta = config.schedule.target[-1]

    def epoch(target: Callable[[Batch], SnippetTarget | None], after: Callable[[], None]) -> float:
        started = time.perf_counter()
        for batch in videos.batches(VIDEOS, order):
            batch = batch.to(device)
            step(batch, target(batch), EPOCH)
            after()
        wait_for(device)
        return time.perf_counter() - started

    epoch(lambda batch: None, lambda: None)  # warm
    plain = epoch(lambda batch: None, lambda: None)
    refresh = _refresh_seconds(step.model, videos, config, device)
    teacher = OnlineTeacher(config)
    teacher.start(step.model)
    online = epoch(lambda b: teacher.target(b, delta), lambda: teacher.follow(step.model))
    return {
        "videos": len(videos),
        "epoch_seconds": plain,
        "refresh_seconds": refresh,
        "refresh_share": refresh / plain,
        "online_epoch_seconds": online,
        "online_overhead": online / plain - 1.0,
    }


def _refresh_seconds(
    model: SnippetModel, videos: VideoSubset, config: Config, device: torch.device
) -> float:
    started = time.perf_counter()
    make_labels(model, videos, config, 0, device)
    wait_for(device)
    return time.perf_counter() - started


def spread_lengths(shortest: int, longest: int, count: int) -> list[int]:
    """Evenly spread in the logarithm, in random order: as lengths of untrimmed videos are."""
    share = torch.randperm(count, generator=torch.Generator().manual_seed(1)) / max(1, count - 1)
    return (shortest * (longest / shortest) ** share).round().long().tolist()


def _lazily(prepare: Callable[[], object], call: Callable) -> Callable[[], object]:
    made: list = []

    def run() -> None:
        if not made:
            made.append(prepare())
        call(made[0])

    return run


def _peak(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that a call takes at most beside what is there, after a first one. On the CPU from the
    resident size every few milliseconds: memory that the allocator has kept does not show."""
    call()
    if device.type == "cuda":
        return peak_memory(call, device)
    before = highest = _resident()
    ended = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not ended.wait(0.002):
            highest = max(highest, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        ended.set()
        watcher.join()
    return highest - before


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0  # not Linux: not known


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
    print(f"{'':18}{'way':10}{'seconds':>9}{'literal/it':>12}{'of floor':>10}{'peak MB':>9}")
    for name, lengths in cases.items():
        for row in measure_case(name, lengths, sizes.feature_dim, ways or ["step"], device):
            report["steps"].append(row)
            print(_line(row), flush=True)
    if "labels" in parts:
        report["labels"] = labels = measure_labels(sizes, device)
        print(
            f"{labels['videos']} videos: epoch {labels['epoch_seconds']:.2f} s; refresh "
            f"{labels['refresh_seconds']:.2f} s, {labels['refresh_share']:.1%} of an epoch; "
            f"online labels {labels['online_overhead']:+.1%}"
        )
    if options.json:
        write_json(options.json, report)


def _line(row: dict) -> str:
    start = f"{row['case']:18}{row['way']:10}"
    if "skipped" in row:
        return f"{start} not here: {row['skipped']}"
    ratio = f"{row['literal_over_it']:.2f}" if "literal_over_it" in row else ""
    peak = row["peak_bytes"] / 1e6
    return f"{start}{row['seconds']:9.4f}{ratio:>12}{row['of_floor']:10.2f}{peak:9.0f}"
