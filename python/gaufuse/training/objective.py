"""Model and losses as one module, which several processes train together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gaufuse.config import Config
from gaufuse.data.dataset import Batch
from gaufuse.model.class_memory import Candidates
from gaufuse.model.losses import LossWeights, SnippetTarget, step_losses
from gaufuse.model.rskp import Outputs


class StepLosses(nn.Module):
    """Its forward returns what is differentiated and nothing else with a gradient, so that
    DistributedDataParallel can find parameters that the configured losses do not use."""

    def __init__(self, model: Callable[..., Outputs], config: Config):
        """model: a SnippetModel, compiled or not."""
        super().__init__()
        self.model = model
        self.config = config

    def distributed(self) -> DistributedDataParallel:
        """The same for several processes: gradients are averaged over them."""
        loss = self.config.loss
        trains_foreground = loss.video == "softmax" or loss.attention_weight > 0.0
        trains_all = loss.foreground_weight > 0.0 and trains_foreground
        # Only where it must: the search costs time, and a warning where it finds nothing.
        return DistributedDataParallel(self, find_unused_parameters=not trains_all)

    def forward(
        self,
        batch: Batch,
        recalled: tuple[torch.Tensor, torch.Tensor] | None,
        target: SnippetTarget | None,
        weights: LossWeights,
    ) -> tuple[dict[str, torch.Tensor], Candidates]:
        """Losses by name, each (B,), and what the memory may keep, without gradient.

        Args:
            recalled: the memory's rows of the videos' classes and which are valid; None before it
                is filled.
            target: None before the first refresh.
        """
        # Compiled once for padded batches; packed ones would be compiled for every length.
        sizes = None if self.config.training.compile else batch.sizes
        outputs = self.model(
            batch.features,
            batch.mask,
            recalled,
            sizes,
            classwise=self.config.loss.background_weight > 0.0,
            bfloat16=self.config.training.precision == "bf16",
        )
        losses = step_losses(
            outputs,
            batch.labels,
            batch.mask,
            None if recalled is None else recalled[1].any(1),
            target,
            self.config.loss,
            weights,
        )
        return losses, Candidates.of(outputs)
