"""Labels made at every step, by a teacher that follows the model (schedule.policy = "online")."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from gaufuse.config import Config, TargetPhase
from gaufuse.data.dataset import Batch
from gaufuse.labels.pseudo_labels import (
    ClassColumns,
    LabelStatistics,
    LabelTally,
    label_batch,
    phase_target,
)
from gaufuse.model.losses import SnippetTarget
from gaufuse.model.rskp import SnippetModel
from gaufuse.utils.distributed import World


class Given(NamedTuple):
    """What the teacher gave a video: its labels (T, C), and the ones before (the same at first)."""

    labels: torch.Tensor
    previous: torch.Tensor


class OnlineTeacher:
    """An exponential moving average of the model, in evaluation mode, and the labels that it gave
    each video. A video has new ones at its first visit and then at every `teacher_every`-th (not
    all videos in the same epoch); a delta label is the change that the last ones were (none at
    first). The fusion's temperature is the first refresh's throughout.

    There is no such teacher in the paper; its labels and deltas are otherwise made as there.
    """

    def __init__(self, config: Config):
        self.config = config
        self.model: SnippetModel | None = None  # until the base phase ends
        self._given: dict[int, Given] = {}  # by video
        self._epochs = 0  # that it has given labels in
        self._made: set[int] = set()  # videos with new labels since the last exchange
        self._tally = LabelTally()

    def start(self, model: SnippetModel) -> None:
        """Begins as a copy of the model."""
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, model: SnippetModel) -> None:
        """After a step of the model."""
        torch._foreach_lerp_(
            list(self._started().parameters()),
            list(model.parameters()),
            1.0 - self.config.schedule.teacher_decay,
        )

    def _started(self) -> SnippetModel:
        if self.model is None:
            raise RuntimeError("the teacher has not started: the base phase has not ended")
        return self.model

    def target(self, batch: Batch, phase: TargetPhase) -> SnippetTarget | None:
        """What the batch is trained on, from the teacher as it is now."""
        if phase.kind == "none":
            return None
        due = [row for row, video in enumerate(batch.videos) if self._is_due(video)]
        if due:
            self._make(batch.select(due))
        given = [self._given[video] for video in batch.videos]
        labels = pad_sequence([own.labels for own in given], batch_first=True)
        previous = pad_sequence([own.previous for own in given], batch_first=True)
        return phase_target(phase, labels, previous)

    def _is_due(self, video: int) -> bool:
        visits = self._epochs + video  # shifted by the video, so that each step has as many due
        return video not in self._given or visits % self.config.schedule.teacher_every == 0

    def _make(self, batch: Batch) -> None:
        labels, made = label_batch(
            self._started(), batch, self.config, self.config.labels.temperature[0]
        )
        for row, video, size in zip(labels, batch.videos, batch.sizes, strict=True):
            self._give(video, row[:size].clone())
        self._made.update(batch.videos)
        before = [self._given[video].previous for video in batch.videos]
        previous = pad_sequence(before, batch_first=True)
        self._tally.add(labels, previous, batch, made)

    def _give(self, video: int, labels: torch.Tensor) -> None:
        previous = self._given[video].labels if video in self._given else labels
        self._given[video] = Given(labels, previous)

    def end_epoch(self, world: World) -> LabelStatistics:
        """Statistics of the epoch's new labels, of all processes; each then has all labels."""
        if world.size > 1:
            own = {video: ClassColumns.of(self._given[video].labels.cpu()) for video in self._made}
            device = self._started().mu.device
            for part in world.gather(own):
                for video in part.keys() - self._made:
                    self._give(video, part[video].to_dense().to(device))
        self._epochs += 1
        self._made.clear()
        statistics = LabelTally.merged(world.gather(self._tally)).statistics()
        self._tally = LabelTally()
        return statistics

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint at the end of an epoch: the teacher and the labels that it gave."""
        return {
            "model": None if self.model is None else self.model.state_dict(),
            "epochs": self._epochs,
            "given": {video: tuple(own) for video, own in self._given.items()},
        }

    def load_state_dict(self, state: dict[str, Any], model: SnippetModel) -> None:
        """Goes on from a checkpoint; model: any of the same shape, on the device to use."""
        self.model = None
        if state["model"] is not None:
            self.start(model)
            self._started().load_state_dict(state["model"])
        device = model.mu.device
        self._epochs = state["epochs"]
        self._given = {
            video: Given(*(labels.to(device) for labels in own))
            for video, own in state["given"].items()
        }
