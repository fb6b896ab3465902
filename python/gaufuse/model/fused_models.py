"""The base model and its student as one model, whose class activations are a mix of theirs.

They err differently: the base model's activations are graded, as a video label teaches it only what
is typical; the student's are sure of what it was told, which helps where labels are good and not
where features can be learned by heart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from gaufuse.config import Config
from gaufuse.model.class_activations import class_activations
from gaufuse.model.losses import top_mean
from gaufuse.model.rskp import Branch, Outputs, SnippetModel
from gaufuse.model.temporal_student import TemporalStudent


class FusedModels(nn.Module):
    """Called like `SnippetModel`, answers with the same `Outputs`: both branches are the logits of
    the mixed activations, so that their sigmoid is the mix; the background's score is 0."""

    def __init__(self, base: SnippetModel, student: TemporalStudent, config: Config):
        """config: the base model's; its second_round.share is the student's part of the mix."""
        super().__init__()
        self.base = base
        self.student = student
        self.config = config
        self.num_classes = base.num_classes

    def forward(
        self,
        features: torch.Tensor,
        mask: torch.Tensor,
        lengths: list[int] | None = None,
        *,
        classwise: bool = False,
        bfloat16: bool = False,
    ) -> Outputs:
        """As SnippetModel's; there is no `classwise` here."""
        share = self.config.second_round.share
        mixed = share * self.student.logits(features, mask, lengths).sigmoid()
        if share < 1.0:
            base = self.base(features, mask, lengths=lengths, classwise=False, bfloat16=bfloat16)
            mixed = mixed + (1.0 - share) * class_activations(base, self.config.testing)
        scores = torch.logit(mixed, eps=1e-6)
        best = top_mean(scores, mask, self.config.second_round.top_fraction)
        branch = Branch(
            scores=F.pad(scores, (0, 1)),
            attention=mixed.amax(-1) * mask,
            video=F.pad(best, (0, 1)).log_softmax(-1),
            classwise=None,
        )
        nothing = scores.new_zeros(len(scores), 0, scores.shape[-1] + 1)
        return Outputs(branch, branch, None, nothing, nothing)


# What detections and labels are made with.
Localizer = SnippetModel | FusedModels
