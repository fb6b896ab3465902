"""Labels made at every step, by a teacher that follows the model (schedule.policy = "online")."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from gaufuse.config import Config, TargetPhase
from gaufuse.dataset import Batch
from gaufuse.distributed import World
from gaufuse.labels import ClassColumns, LabelStatistics, LabelTally, label_batch
from gaufuse.losses import SnippetTarget
from gaufuse.model import SnippetModel


class OnlineTeacher:
    """An exponential moving average of the model, in evaluation mode, and the labels that it gave
    each video when it last saw it: a delta label is the change since that visit (none at a video's
    first). The fusion's temperature is the first refresh's throughout.

    There is no such teacher in the paper; its labels and deltas are otherwise made as there.
    """

    def __init__(self, config: Config):
        self.config = config
        self.model: SnippetModel | None = None  # until the base phase ends
        self._seen: dict[int, torch.Tensor] = {}  # (T, C) by video
        self._visited: set[int] = set()  # videos seen here since the last exchange
        self._tally = LabelTally()

    def start(self, model: SnippetModel) -> None:
        """Begins as a copy of the model."""
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, model: SnippetModel) -> None:
        """After a step of the model."""
        torch._foreach_lerp_(
            list(self.model.parameters()),
            list(model.parameters()),
            1.0 - self.config.schedule.teacher_decay,
        )

    def target(self, batch: Batch, phase: TargetPhase) -> SnippetTarget | None:
        """What the batch is trained on, from the teacher as it is now."""
        if phase.kind == "none":
            return None
        labels, fused, solved = label_batch(
            self.model, batch, self.config, self.config.labels.temperature[0]
        )
        sizes = batch.sizes or batch.lengths.tolist()
        rows = [row[:size] for row, size in zip(labels, sizes, strict=True)]
        before = [self._seen.get(i, row) for i, row in zip(batch.videos, rows, strict=True)]
        previous = pad_sequence(before, batch_first=True)
        self._tally.add(labels, previous, batch, fused, solved)
        self._seen |= {i: row.clone() for i, row in zip(batch.videos, rows, strict=True)}
        self._visited.update(batch.videos)
        if phase.kind == "labels":
            return SnippetTarget(phase.gain * labels, phase.gain)
        return SnippetTarget(phase.gain * (labels - previous), 0.0)

    def end_epoch(self, world: World) -> LabelStatistics:
        """Statistics of the epoch's labels, of all processes; each then has the labels of all."""
        if world.size > 1:
            own = {video: ClassColumns.of(self._seen[video].cpu()) for video in self._visited}
            device = self.model.mu.device
            for part in world.gather(own):
                self._seen |= {v: labels.to_dense().to(device) for v, labels in part.items()}
        self._visited.clear()
        statistics = LabelTally.merged(world.gather(self._tally)).statistics()
        self._tally = LabelTally()
        return statistics

    def state_dict(self) -> dict[str, Any]:
        model = None if self.model is None else self.model.state_dict()
        return {"model": model, "seen": dict(self._seen)}

    def load_state_dict(self, state: dict[str, Any], model: SnippetModel) -> None:
        """model: any of the same shape, on the device to use."""
        self.model = None
        if state["model"] is not None:
            self.start(model)
            self.model.load_state_dict(state["model"])
        device = model.mu.device
        self._seen = {video: labels.to(device) for video, labels in state["seen"].items()}
