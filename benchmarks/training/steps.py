"""How fast a training step is, beside the release's literal one and the embedding layer alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch

from benchmarks.training.inputs import CLASSES, EPOCH, RandomVideos, epoch_of, training_step
from benchmarks.training.literal_step import literal_step
from benchmarks.training.student import LiteralStudent, student_floor, student_step
from gaufuse.benchmark.timing import CpuTimer, CudaTimer
from gaufuse.config import load_config
from gaufuse.model.losses import SnippetTarget
from gaufuse.model.temporal_linear import shared_out
from gaufuse.model.temporal_student import TemporalStudent
from gaufuse.training.schedule import loss_weights_at
from gaufuse.training.step import TrainingStep

WAYS = ("literal", "step", "bf16", "compile", "context", "general", "literal student", "student")
CONTEXT = 5  # snippets that the temporal convolution of "context" sees
FLOORS = {  # of the other ways: "floor"
    "context": "context floor",
    "general": "general floor",
    "literal student": "student floor",
    "student": "student floor",
}
LITERAL = {"student": "literal student", "literal student": "literal student"}  # else "literal"


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
            "context floor": self.floor(CONTEXT),
            "general floor": self.general_floor(),
            "literal": self.literal(),
            "step": self.ours(),
            "bf16": self.ours("training.precision=bf16"),
            "compile": self.ours("training.compile=true"),
            "context": self.ours(f"model.kernel={CONTEXT}"),
            "general": self.ours(preset="general"),
            "student floor": _lazily(lambda: student_floor(self.batch), _call),
            "literal student": self.student(LiteralStudent),
            "student": self.student(TemporalStudent),
        }

    def ours(self, *overrides: str, preset: str = "thumos14") -> Callable[[], object]:
        def prepare() -> TrainingStep:
            dim = self.batch.features.shape[-1]
            step = training_step(dim, self.device, *overrides, preset=preset)
            train(step)  # fills the memory
            return step

        def train(step: TrainingStep) -> None:
            step(self.batch, self.target, epoch_of(step.config))

        return _lazily(prepare, train)

    def literal(self) -> Callable[[], object]:
        def prepare() -> TrainingStep:
            step = training_step(self.batch.features.shape[-1], self.device)
            step(self.batch, self.target, EPOCH)
            return step

        return _lazily(prepare, self.train_literally)

    def train_literally(self, step: TrainingStep) -> None:
        """What `step` would do on the batch, as the release does it: video by video. `step` has a
        memory already, which stays as it is."""
        batch = self.batch
        rows, valid = step.memory.recall(batch.labels, batch.most_labels)
        literal_step(
            step.model,
            step.optimizer,
            [x[:n] for x, n in zip(batch.features, batch.sizes, strict=True)],
            batch.labels,
            [row[own] for row, own in zip(rows, valid, strict=True)],
            [x[:n] for x, n in zip(self.target.values, batch.sizes, strict=True)],
            step.config,
            loss_weights_at(step.config, EPOCH),
        )

    def student(self, kind: type[TemporalStudent]) -> Callable[[], object]:
        return _lazily(lambda: student_step(kind, self.batch, self.target.values), _call)

    def general_floor(self) -> Callable[[], object]:
        """That of preset `general`."""
        config = load_config("general")
        return self.floor(config.model.kernel, config.model.embedding_dim)

    def floor(self, kernel: int | list[int] = 1, width: int | None = None) -> Callable[[], object]:
        """Forward and backward of Linear and ReLU on the snippets themselves, without padding; with
        a kernel, on snippets that have their neighbours beside them already; with several, of one
        such layer each, which share out the outputs. width: of the embedded snippets, as many as
        features without one."""
        kernels = [kernel] if isinstance(kernel, int) else kernel

        def prepare() -> list[tuple[torch.nn.Module, torch.Tensor, torch.Tensor]]:
            features = torch.cat(
                [x[:n] for x, n in zip(self.batch.features, self.batch.sizes, strict=True)]
            )
            dim, made = features.shape[1], []
            for size, (first, last) in zip(
                kernels, pairwise(shared_out(width or dim, len(kernels))), strict=True
            ):
                layer = torch.nn.Sequential(
                    torch.nn.Linear(size * dim, last - first), torch.nn.ReLU()
                )
                gradient = torch.rand(len(features), last - first, device=self.device)
                made.append((layer.to(self.device), features.repeat(1, size), gradient))
            return made

        def call(made: list[tuple[torch.nn.Module, torch.Tensor, torch.Tensor]]) -> None:
            for layer, features, gradient in made:
                layer.zero_grad(set_to_none=True)
                layer(features).backward(gradient)

        return _lazily(prepare, call)


def measure_case(
    name: str, lengths: list[int], feature_dim: int, ways: list[str], device: torch.device
) -> list[dict]:
    """One row a way. Ratios are over times of this run."""
    timer = CpuTimer() if device.type == "cpu" else CudaTimer(device)
    calls = Case(lengths, feature_dim, device).calls()
    rows = []
    floors = {FLOORS.get(way, "floor"): None for way in ways}
    for way in [*floors, *ways]:
        row = {"case": name, "way": way, "snippets": sum(lengths)}
        try:
            calls[way]()
        except Exception as error:  # torch.compile without a compiler, whatever it raises then
            if way != "compile":
                raise
            rows.append(row | {"skipped": f"{type(error).__name__}: {error}".splitlines()[0]})
            continue
        seconds = timer.measure(calls.pop(way), 1.0).fastest
        rows.append(row | {"seconds": seconds, "videos_per_second": len(lengths) / seconds})
    seconds = {row["way"]: row.get("seconds") for row in rows}
    for row in rows:
        if "seconds" in row:
            own = row["way"] if row["way"] in floors else FLOORS.get(row["way"], "floor")
            row["of_floor"] = row["seconds"] / seconds[own]
            literal = seconds.get(LITERAL.get(row["way"], "literal"))
            if literal:
                row["literal_over_it"] = literal / row["seconds"]
    return rows


def _call(made: Callable[[], object]) -> None:
    made()


def _lazily(prepare: Callable[[], object], call: Callable) -> Callable[[], object]:
    made: list = []

    def run() -> None:
        if not made:
            made.append(prepare())
        call(made[0])

    return run


def show_step(row: dict) -> None:
    start = f"{row['case']:18}{row['way']:14}"
    if "skipped" in row:
        print(f"{start} not here: {row['skipped']}", flush=True)
        return
    ratio = f"{row['literal_over_it']:.2f}" if "literal_over_it" in row else ""
    print(
        f"{start}{row['seconds']:9.4f}{row['videos_per_second']:11.1f}{ratio:>12}"
        f"{row['of_floor']:10.2f}",
        flush=True,
    )
