"""One optimiser step: forward, losses, backward, update, memory (method section 2).

Nothing in it waits for the device: what the host has to know (lengths, the most classes of a
video) comes with the batch.
"""

from __future__ import annotations

import torch
from torch import nn

from gaufuse.config import Config
from gaufuse.data.dataset import Batch
from gaufuse.model.class_memory import Candidates, ClassMemory
from gaufuse.model.losses import SnippetTarget
from gaufuse.model.rskp import SnippetModel
from gaufuse.training.objective import StepLosses
from gaufuse.training.schedule import loss_weights_at, value_at
from gaufuse.utils.distributed import Share, World


def make_optimizer(model: SnippetModel, config: Config, epoch: int = 1) -> torch.optim.Optimizer:
    """Method section 2's, with the learning rate of an epoch."""
    settings = config.optimizer
    return torch.optim.Adam(
        model.parameters(),
        lr=value_at(settings.learning_rate, epoch),
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,  # one pass over the weights where the loop makes about ten
    )


class TrainingStep:
    """Trains `model` on one batch a call.

    With `training.compile` the forward pass runs through torch.compile; the model's parameters and
    its state dict stay what they are.
    """

    def __init__(
        self,
        model: SnippetModel,
        optimizer: torch.optim.Optimizer,
        memory: ClassMemory,
        config: Config,
        world: World | None = None,
    ):
        self.model = model
        self.optimizer = optimizer
        self.memory = memory
        self.config = config
        self.world = world or World()
        forward = torch.compile(model, dynamic=True) if config.training.compile else model
        self._losses: nn.Module = StepLosses(forward, config)
        if self.world.size > 1:
            self._losses = self._losses.distributed()

    def __call__(
        self, batch: Batch, target: SnippetTarget | None, epoch: int, share: Share | None = None
    ) -> dict[str, torch.Tensor]:
        """The weighted losses by name, each (videos that count,), before the update.

        Args:
            batch: on the model's device.
            target: what snippets are trained on; None before the first refresh.
            epoch: counted from 1; sets the weights of losses and whether there is a memory.
            share: which of the step's videos these are, where several processes train together.
        """
        config = self.config
        share = share or Share(batch.videos, [len(batch.videos)], rank=0)
        remembering = epoch > config.memory.start
        recalled = self.memory.recall(batch.labels, batch.most_labels) if remembering else None
        losses, candidates = self._losses(
            batch,
            recalled,
            target,
            loss_weights_at(config, epoch),
        )
        losses = {name: loss[: share.count] for name, loss in losses.items()}
        # DDP averages the processes' gradients, so that this is the sum over all their videos.
        total = self.world.size * torch.stack(list(losses.values())).sum(0).sum()
        if config.optimizer.gradient == "mean":
            total = total / share.total
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        if remembering:
            self.remember(candidates, batch.labels, share)
        return losses

    def remember(self, candidates: Candidates, labels: torch.Tensor, share: Share) -> None:
        """The same update in every process: with the representatives of the whole step."""
        whole = Candidates(
            self.world.gather_rows(candidates.representatives, share),
            self.world.gather_rows(candidates.representative_scores, share),
        )
        self.memory.update(whole, self.world.gather_rows(labels, share))
