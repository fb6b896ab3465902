"""One optimiser step: forward, losses, backward, update, memory (method section 2).

Nothing in it waits for the device: what the host has to know (lengths, the most classes of a
video) comes with the batch.
"""

from __future__ import annotations

import torch

from gaufuse.config import Config
from gaufuse.dataset import Batch
from gaufuse.losses import LossWeights, SnippetTarget, step_losses
from gaufuse.memory import ClassMemory
from gaufuse.model import SnippetModel
from gaufuse.schedule import label_weight_at, value_at


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
    ):
        model.bfloat16 = config.training.precision == "bf16"
        self.model = model
        self.optimizer = optimizer
        self.memory = memory
        self.config = config
        self._forward = torch.compile(model, dynamic=True) if config.training.compile else model

    def __call__(
        self, batch: Batch, target: SnippetTarget | None, epoch: int
    ) -> dict[str, torch.Tensor]:
        """The weighted losses by name, each (B,), before the update.

        Args:
            batch: on the model's device.
            target: what snippets are trained on; None before the first refresh.
            epoch: counted from 1; sets the weights of losses and whether there is a memory.
        """
        config = self.config
        remembering = epoch > config.memory.start
        recalled = remembered = None
        if remembering:
            recalled = self.memory.recall(batch.labels, batch.most_labels)
            remembered = recalled[1].any(1)
        # Compiled once for padded batches; packed ones would be compiled for every length.
        sizes = None if config.training.compile else batch.sizes
        outputs = self._forward(batch.features, batch.mask, recalled, sizes)
        losses = step_losses(
            outputs,
            batch.labels,
            batch.mask,
            remembered,
            target,
            config.loss,
            LossWeights(
                spl=value_at(config.loss.spl_weight, epoch), label=label_weight_at(config, epoch)
            ),
        )
        per_video = torch.stack(list(losses.values())).sum(0)
        total = per_video.sum() if config.optimizer.gradient == "sum" else per_video.mean()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        if remembering:
            self.memory.update(outputs, batch.labels)
        return losses
