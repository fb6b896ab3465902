"""What labels cost beside an epoch without: refreshes of all videos, and online labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from rich.progress import track

from benchmarks.training.inputs import EPOCH, VIDEOS, RandomVideos, training_step
from gaufuse.config import Config, load_config
from gaufuse.labels.online_teacher import OnlineTeacher
from gaufuse.labels.pseudo_labels import make_labels
from gaufuse.training.step import TrainingStep
from gaufuse.utils.device import wait_for

PRECISIONS = ("float32", "bf16")
VISITS = (1, 3)  # schedule.teacher_every

Call = Callable[[list[int]], None]  # does its work on the videos of one step


def measure_labels(videos: RandomVideos, device: torch.device, repeats: int = 2) -> dict:
    """Shares of the time of an epoch without labels.

    Every way does its part on a batch before the next batch comes, so that a machine that slows
    down slows them all; an epoch's time is the sum over batches of the fastest of `repeats` times.
    By a model that has seen an epoch: activations are not noise, but not those of a trained one.
    """
    step = training_step(videos.info.feature_dim, device)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(videos), generator=generator).split(VIDEOS)
    batches = [part.tolist() for part in order]
    calls = _calls(step, videos, device)
    for (way, _), call in calls.items():
        if way.startswith("online"):
            for batch in batches:  # the first epoch, in which the teacher has no labels yet
                call(batch)
    fastest = {way: [float("inf")] * len(batches) for way in calls}
    for _ in track(range(repeats), "labels", transient=True):
        for i, batch in enumerate(batches):
            for way, call in calls.items():
                fastest[way][i] = min(fastest[way][i], _seconds(call, batch, device))
    seconds = {way: sum(times) for way, times in fastest.items()}
    plain = seconds.pop(("epoch", "float32"))
    rows = [
        {
            "way": way,
            "label_precision": precision,
            "seconds": own,
            "of_an_epoch": own / plain - (0.0 if way == "refresh" else 1.0),
        }
        for (way, precision), own in seconds.items()
    ]
    return {"videos": len(videos), "epoch_seconds": plain, "ways": rows}


def _calls(
    step: TrainingStep, videos: RandomVideos, device: torch.device
) -> dict[tuple[str, str], Call]:
    train = partial(_train, step, videos, device)
    calls: dict[tuple[str, str], Call] = {("epoch", "float32"): partial(train, None)}
    for precision in PRECISIONS:
        setting = f"training.label_precision={precision}"
        config = load_config("thumos14", [setting])
        calls["refresh", precision] = partial(_refresh, step, videos, device, config)
        for every in VISITS:
            config = load_config("thumos14", [setting, f"schedule.teacher_every={every}"])
            teacher = OnlineTeacher(config)
            teacher.start(step.model)
            calls[f"online, visit {every}", precision] = partial(train, teacher)
    return calls


def _train(
    step: TrainingStep,
    videos: RandomVideos,
    device: torch.device,
    teacher: OnlineTeacher | None,
    chosen: list[int],
) -> None:
    batch = videos.batch(chosen).to(device)
    if teacher is None:
        step(batch, None, EPOCH)
        return
    phase = teacher.config.schedule.target[-1]
    step(batch, teacher.target(batch, phase), EPOCH)
    teacher.follow(step.model)


def _refresh(
    step: TrainingStep,
    videos: RandomVideos,
    device: torch.device,
    config: Config,
    chosen: list[int],
) -> None:
    make_labels(step.model, videos.select(chosen), config, 0, device)


def _seconds(call: Call, chosen: list[int], device: torch.device) -> float:
    started = time.perf_counter()
    call(chosen)
    wait_for(device)
    return time.perf_counter() - started


def show_labels(report: dict) -> None:
    print(f"{report['videos']} videos, an epoch without labels {report['epoch_seconds']:.2f} s")
    for row in report["ways"]:
        print(f"{row['way']:18}{row['label_precision']:10}{row['of_an_epoch']:+9.1%} of an epoch")
