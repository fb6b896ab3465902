"""A step of the second round's student, beside the same network of torch's own layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.training.inputs import CLASSES
from gaufuse.config import load_config
from gaufuse.data.dataset import Batch
from gaufuse.model.temporal_student import TemporalStudent
from gaufuse.training.second_round import LabelLoss


class LiteralStudent(TemporalStudent):
    """As it would be written down: padded videos, nn.Conv1d, F.dropout."""

    def logits(
        self, features: torch.Tensor, mask: torch.Tensor, lengths: list[int] | None = None
    ) -> torch.Tensor:
        config = self.config
        inside = mask.unsqueeze(-1).to(features.dtype)
        x = (features - self.feature_mean) / self.feature_scale
        x = F.relu(self.reduce(F.dropout(x, config.input_dropout, self.training))) * inside
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            (reach,) = convolution.dilation
            y = F.conv1d(
                (norm(x) * inside).transpose(1, 2),
                convolution.weight,
                convolution.bias,
                padding=reach,
                dilation=reach,
            )
            y = F.dropout(F.relu(y.transpose(1, 2)), config.dropout, self.training)
            x = (x + y) * inside
        logits: torch.Tensor = self.classify(x)
        return logits


def student_step(
    kind: type[TemporalStudent], batch: Batch, values: torch.Tensor
) -> Callable[[], object]:
    """Forward, backward and update on labels (B, T, C)."""
    torch.manual_seed(0)
    second = load_config("general").second_round
    student = kind(batch.features.shape[-1], CLASSES, second).to(batch.features.device).train()
    losses = LabelLoss(student, second)
    optimizer = torch.optim.AdamW(student.parameters(), second.learning_rate)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses(batch, values).sum().backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()

    return step


def student_floor(batch: Batch) -> Callable[[], object]:
    """Forward and backward of its matrix products on the snippets themselves, without padding; the
    convolutions' neighbours lie beside them already."""
    second = load_config("general").second_round
    width, layers = second.width, len(second.dilations)
    features = torch.cat([x[:n] for x, n in zip(batch.features, batch.sizes, strict=True)])
    device = features.device
    reduce = torch.nn.Linear(features.shape[1], width, device=device)
    convolutions = [torch.nn.Linear(3 * width, width, device=device) for _ in range(layers)]
    seen = torch.rand(len(features), 3 * width, device=device, requires_grad=True)
    gradient = torch.rand(len(features), width, device=device)

    def step() -> None:
        seen.grad = None
        for layer, x in [(reduce, features), *((layer, seen) for layer in convolutions)]:
            layer.zero_grad(set_to_none=True)
            layer(x).backward(gradient)

    return step
