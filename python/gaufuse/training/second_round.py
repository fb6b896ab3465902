"""The second round: students learn the pseudo labels of the training videos, one after the other,
each from the labels that its predecessor (at first the base model) makes.

A model that was trained on a video knows its label by heart, and scores snippets by what it
remembers: labels that it makes are not what it would say of a new video. So labels may first be
made across (second_round.across): two students learn half of the videos each, and label the other
half, as if at test time.

Not in the paper, whose model goes on from its own labels; published successors have one (a
localizer that is trained on pseudo instances). Here the labels are the paper's, by fusion and
LinPro.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gaufuse.config import Config, SecondRoundConfig
from gaufuse.data.dataset import Batch, VideoSubset
from gaufuse.labels.pseudo_labels import pad_labels
from gaufuse.model.losses import snippet_mean
from gaufuse.model.temporal_student import TemporalStudent
from gaufuse.utils.distributed import Share, World


def student_config(config: Config) -> Config:
    """How the activations of base model and student become labels and detections: each class by
    itself, whatever the base model's video loss is."""
    second = config.second_round
    own = {
        "cas_scale": 1.0,
        "thresholds": second.thresholds,
        "threshold_kind": "range",
        "class_threshold": 0.0,
    }
    labels = config.labels.model_copy(update=own | {"cas": "competing"})
    testing = config.testing.model_copy(
        update=own | {"cas": "sigmoid", "video_score_weight": second.video_score_weight}
    )
    loss = config.loss.model_copy(update={"top_fraction": second.top_fraction})
    return config.model_copy(update={"labels": labels, "testing": testing, "loss": loss})


def new_student(subset: VideoSubset, config: Config, device: torch.device) -> TemporalStudent:
    """Untrained, drawn from torch's generator; standardises features by those of the subset."""
    info = subset.info
    student = TemporalStudent(info.feature_dim, len(info.classes), config.second_round)
    student.standardize(*subset.standardizer())
    return student.to(device)


def student_epochs(config: Config, videos: int) -> int:
    """How many epochs a student takes: a small data set has few steps in each."""
    second = config.second_round
    steps = math.ceil(videos / config.data.batch_size)
    return max(second.epochs, math.ceil(second.least_steps / steps))


def halves_of(videos: int, seed: int) -> list[list[int]]:
    """Two of them, drawn; what is odd goes to the second. A single video makes both."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(videos, generator=generator).tolist()
    first = max(1, videos // 2)
    return [sorted(drawn[:first]), sorted(drawn[first:] or drawn)]


def train_student(
    student: TemporalStudent,
    labels: list[torch.Tensor],
    videos: list[int],
    batches: Callable[[list[int]], Iterator[tuple[Share, Batch]]],
    config: Config,
    seed: int,
    world: World,
    after_epoch: Callable[[int, float], None],
) -> None:
    """Trains on labels (T, C) of some videos.

    Args:
        labels: of all training videos.
        videos: those that it learns.
        batches: this process's shares of the steps of an epoch, from the order of its videos.
        seed: of the order and of dropout.
        after_epoch: told the epoch, counted from 1, and its mean loss a video.

    Raises:
        RuntimeError: the loss is not finite.
    """
    second = config.second_round
    # A sum over snippets is divided by what an average video has of labels, so that the loss does
    # not depend on how rare actions are, nor on the number of classes.
    per_video = max(1e-6, sum(float(labels[video].sum()) for video in videos) / len(videos))
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=second.learning_rate, weight_decay=second.weight_decay
    )
    losses: nn.Module = LabelLoss(student, second)
    if world.size > 1:
        losses = DistributedDataParallel(losses)
    steps = math.ceil(len(videos) / config.data.batch_size)
    epochs = student_epochs(config, len(videos))
    student.train()
    for epoch in range(1, epochs + 1):
        torch.manual_seed(seed * 1_000_003 + epoch)
        order = [videos[i] for i in torch.randperm(len(videos)).tolist()]
        if not world.is_first:  # the same order, another dropout
            torch.manual_seed((seed + world.rank) * 1_000_003 + epoch)
        total = torch.zeros((), dtype=torch.float64, device=student.feature_mean.device)
        for step, (share, batch) in enumerate(batches(order), start=(epoch - 1) * steps):
            for group in optimizer.param_groups:
                group["lr"] = second.learning_rate * _warm_cosine(
                    step, second.warmup_steps, epochs * steps
                )
            values = losses(batch, pad_labels(labels, batch))[: share.count] / per_video
            optimizer.zero_grad(set_to_none=True)
            # DDP averages the processes' gradients: this is the mean over the step's videos.
            (world.size * values.sum() / share.total).backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            total += values.detach().sum()  # on the device: read once an epoch
        mean = float(world.sum(total)) / len(videos)
        if not math.isfinite(mean):
            raise RuntimeError(
                f"the second round's loss is not finite in its epoch {epoch}: lower "
                f"second_round.learning_rate ({second.learning_rate})"
            )
        after_epoch(epoch, mean)
    student.eval()


class LabelLoss(nn.Module):
    """Student and loss as one module, which several processes train together."""

    def __init__(self, student: TemporalStudent, config: SecondRoundConfig):
        super().__init__()
        self.student = student
        self.config = config

    def forward(self, batch: Batch, labels: torch.Tensor) -> torch.Tensor:
        """(B,) summed over snippets and classes: binary cross entropy, weighted by how far off the
        prediction is (a focal loss of soft labels, Li et al., NeurIPS 2020)."""
        logits = self.student.logits(batch.features, batch.mask, batch.sizes)
        loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        off = (logits.sigmoid() - labels).abs() ** self.config.focal_gamma
        return snippet_mean((off * loss).sum(-1), batch.mask) * batch.mask.sum(-1)


def _warm_cosine(step: int, warmup: int, total: int) -> float:
    """A factor that rises over the first steps and falls to zero at the end."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    return rise * 0.5 * (1.0 + math.cos(math.pi * step / total))
