"""`gaufuse train --dry-run`: everything that can go wrong in the first hour, tried in seconds."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from gaufuse.config import ScheduleConfig
from gaufuse.data.dataset import VideoSubset
from gaufuse.labels.pseudo_labels import make_labels
from gaufuse.localization.detect import detect
from gaufuse.localization.evaluation import is_annotated
from gaufuse.model.checkpoint import latest_checkpoint
from gaufuse.training.schedule import phase_ends
from gaufuse.training.second_round import LabelLoss, halves_of, new_student, student_epochs
from gaufuse.training.trainer import Trainer
from gaufuse.utils.device import wait_for

FLOAT = 4  # bytes
ADAM_COPIES = 4  # weights, gradients and two moments


@dataclass
class Findings:
    """What the table shows, and what would stop the run."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def table(self) -> Table:
        """What was found, and in red what would stop the run."""
        table = Table(title="dry run", show_header=False)
        table.add_column(overflow="fold")
        table.add_column(overflow="fold")
        for name, value in self.rows:
            table.add_row(name, value)
        for problem in self.problems:
            table.add_row(Text("problem", style="red"), problem)
        return table


def dry_run(trainer: Trainer, console: Console, replaceable: bool) -> None:
    """Checks data, output folder, memory and one real step, and prints a table. Writes nothing.

    Args:
        trainer: new, on a folder that may not be there yet.
        replaceable: whether a run in the folder may be gone on with or replaced.

    Raises:
        ValueError: with the problems that were found.
    """
    found = Findings()
    lengths = _check_data(trainer, console, found)
    _check_output(trainer.folder.root, replaceable, found)
    found.rows.append(("device", f"{trainer.device}, {torch.get_num_threads()} CPU threads"))
    if not found.problems:
        _try_steps(trainer, lengths, found)
    console.print(found.table())
    if found.problems:
        raise ValueError("the dry run found: " + "; ".join(found.problems))


def _check_data(trainer: Trainer, console: Console, found: Findings) -> list[int]:
    """Reads every video; the lengths of those to train on."""
    info = trainer.dataset.info
    found.rows.append(("data", f"{info.name}, {len(info.classes)} classes, {info.root}"))
    lengths = _read(trainer.training, "training", console, found)
    if trainer.validation is not None:
        _read(trainer.validation, "validation", console, found)
    _read(trainer.testing, "testing", console, found)
    absent = [
        label
        for label, count in zip(info.classes, trainer.training.labels.sum(0), strict=True)
        if count == 0
    ]
    if absent:
        found.problems.append(
            f"no training video shows {', '.join(absent)}: such a class cannot be learned; remove "
            "it from dataset.toml, or add videos"
        )
    if not is_annotated(trainer.testing):
        found.rows.append(("", "no test video has annotations: detections, but no mAP"))
    return lengths


def _read(subset: VideoSubset, name: str, console: Console, found: Findings) -> list[int]:
    videos = track(
        range(len(subset)),
        f"reading {name} features",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    lengths = []
    for video in videos:
        try:
            lengths.append(int(subset.batch([video]).lengths[0]))
        except (OSError, ValueError) as error:
            found.problems.append(str(error))
    segments = sum(len(entry.labels) for entry in subset.annotations.values())
    found.rows.append(
        (
            f"{name} videos",
            f"{len(subset)}; {min(lengths, default=0)} to {max(lengths, default=0)} snippets; "
            f"{float(subset.labels.sum(1).mean()):.1f} labels a video; {segments} segments",
        )
    )
    return lengths


def _check_output(root: Path, replaceable: bool, found: Findings) -> None:
    existing = next(path for path in (root, *root.absolute().parents) if path.exists())
    found.rows.append(("output", f"{root}{'' if root.exists() else ' (new)'}"))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        found.problems.append(f"cannot write to the output folder {root}: {existing} is in the way")
    elif latest_checkpoint(root / "checkpoints") is not None and not replaceable:
        found.problems.append(
            f"{root} holds a run already: --resume, --overwrite or another folder"
        )


def _try_steps(trainer: Trainer, lengths: list[int], found: Findings) -> None:
    """One step on the longest videos, for memory; then what a whole run would take."""
    config = trainer.config
    by_length = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    longest = by_length[: config.data.batch_size]
    middle = by_length[(len(by_length) - len(longest)) // 2 :][: len(longest)]
    # The last epoch without labels: with the memory's branch, which costs more than labels do.
    trainer.epoch = config.schedule.base_epochs
    trainer.model.train()
    try:
        with _SavedBytes() as saved:
            losses = _step(trainer, longest)
        longest_seconds = _seconds(trainer, lambda: _step(trainer, longest))
    except (RuntimeError, MemoryError) as error:  # out of memory is a RuntimeError of torch's
        found.problems.append(f"a step on the longest videos fails: {str(error).splitlines()[0]}")
        return
    total = sum(float(loss.detach().sum()) for loss in losses.values())
    if not math.isfinite(total):
        found.problems.append(f"the loss of the first step is not finite: {total}")
    _memory_rows(trainer, lengths, saved.bytes, found)
    found.rows.append(
        (
            "a step",
            f"{longest_seconds:.3f} s on the {len(longest)} longest videos "
            f"({lengths[longest[0]]} snippets), first loss {total / len(longest):.3g} a video",
        )
    )
    found.rows.append(("the whole run", _whole_run(trainer, middle)))


def _step(trainer: Trainer, videos: list[int]) -> dict[str, torch.Tensor]:
    batch = trainer.training.batch(videos).to(trainer.device)
    return trainer.step(batch, None, trainer.epoch)


def _memory_rows(trainer: Trainer, lengths: list[int], activations: int, found: Findings) -> None:
    parameters = sum(p.numel() for p in trainer.model.parameters())
    teacher = FLOAT * parameters if trainer.config.schedule.policy == "online" else 0
    weights = ADAM_COPIES * FLOAT * parameters + teacher
    labels = 2 * FLOAT * sum(lengths) * trainer.model.num_classes
    features = sum(
        subset.features.nbytes
        for subset in (trainer.training, trainer.validation, trainer.testing)
        if subset is not None
    )
    on_device = weights + activations
    # The online teacher's labels stay on the device, a refresh's in main memory.
    if trainer.device.type == "cuda" and teacher:
        on_device, labels_in_memory = on_device + labels, 0
    else:
        labels_in_memory = labels
    in_memory = features + labels_in_memory + (0 if trainer.device.type == "cuda" else on_device)
    found.rows.append(
        (
            "memory",
            f"{parameters:,} parameters: {_size(weights)} with gradients and "
            f"Adam{', and the teacher' if teacher else ''}; activations of "
            f"the largest batch {_size(activations)}; labels {_size(labels)}; features "
            f"{_size(features)}",
        )
    )
    free = _available_memory()
    found.rows.append(("", f"{_size(in_memory)} of main memory, {_size(free)} are free now"))
    # What this try and the features take is no longer free: only the labels are still to come.
    if labels_in_memory > free:
        found.problems.append(f"the labels need {_size(labels)}, {_size(free)} are free")
    if trainer.device.type == "cuda":
        free, whole = torch.cuda.mem_get_info(trainer.device)
        found.rows.append(
            ("", f"{_size(on_device)} of {_size(whole)} on {trainer.device}, {_size(free)} free")
        )


def _available_memory() -> int:
    """Bytes of main memory that can be had, the page cache's included where the system says."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _whole_run(trainer: Trainer, middle: list[int]) -> str:
    """From one batch of videos of middle length."""
    config = trainer.config
    schedule, size = config.schedule, config.data.batch_size
    few = trainer.training.select(middle)
    step = _seconds(trainer, lambda: _step(trainer, middle))
    labelling = _seconds(
        trainer, lambda: make_labels(trainer.model, few, config, 0, trainer.device)
    )
    detection = _seconds(trainer, lambda: detect(trainer.model, few, config, trainer.device))
    steps = math.ceil(len(trainer.training) / size)
    evaluated = {
        epoch
        for epoch in range(1, schedule.epochs + 1)
        if schedule.evaluate_every and epoch % schedule.evaluate_every == 0
    } | phase_ends(config)
    tested = len(trainer.testing) + len(trainer.validation.names if trainer.validation else [])
    training = schedule.epochs * steps * step
    makings = label_makings(schedule)
    labelling *= makings * steps
    evaluating = len(evaluated) * math.ceil(tested / size) * detection
    second, students = _second_round(trainer, middle), config.second_round.rounds
    if schedule.policy == "online":
        made = f"labels online, {makings:.3g} times a video"
    else:
        made = f"{makings:.0f} label refreshes"
    return (
        f"about {_duration(training + labelling + evaluating + second)}: {schedule.epochs} epochs "
        f"of {steps} steps {_duration(training)}, {made} {_duration(labelling)}, {len(evaluated)} "
        f"evaluations {_duration(evaluating)}"
        + (f", {students} student{'s' * (students > 1)} {_duration(second)}" if second else "")
    )


def _second_round(trainer: Trainer, middle: list[int]) -> float:
    """Seconds that the students' steps take, from one on videos of middle length."""
    config, videos = trainer.config, len(trainer.training)
    if not config.second_round.rounds:
        return 0.0
    batch = trainer.training.batch(middle).to(trainer.device)
    labels = batch.features.new_zeros(*batch.mask.shape, batch.labels.shape[1])
    losses = LabelLoss(new_student(trainer.training, config, trainer.device), config.second_round)
    step = _seconds(trainer, lambda: losses(batch, labels).sum().backward())
    # Before each that stays, where labels are made across, one of either half of the videos.
    learned = [videos]
    if config.second_round.across:
        learned += [len(half) for half in halves_of(videos, config.seed)]
    steps = sum(
        student_epochs(config, own) * math.ceil(own / config.data.batch_size) for own in learned
    )
    return config.second_round.rounds * steps * step


def label_makings(schedule: ScheduleConfig) -> float:
    """How often a run makes each video's labels: at every refresh, or, by the online teacher, at a
    video's first visit after the base phase and then at every `teacher_every`-th."""
    if schedule.policy != "online":
        return len(schedule.refreshes)
    start, visits = 0, 0
    for phase in schedule.target:
        if phase.kind != "none":
            visits += min(phase.until, schedule.epochs) - max(start, schedule.base_epochs)
        start = phase.until
        if start >= schedule.epochs:
            break
    return 1.0 + (visits - 1) / schedule.teacher_every if visits > 0 else 0.0


def _seconds(trainer: Trainer, work: Callable[[], Any]) -> float:
    """The second time of two: the first one warms up."""
    for _ in range(2):
        wait_for(trainer.device)
        started = time.monotonic()
        work()
        wait_for(trainer.device)
        seconds = time.monotonic() - started
    return seconds


class _SavedBytes:
    """Bytes of the tensors that are kept for the backward pass, each storage once."""

    def __init__(self) -> None:
        self._storages: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    @property
    def bytes(self) -> int:
        return sum(self._storages.values())

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    def __enter__(self) -> _SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} GiB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
