"""The class memory: for each class the representatives that score highest for it (RSKP).

The release looks rows up along the wrong axis, so that every video uses class 0's memory; here a
video uses the memory of its own classes, unless asked to do as the release does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gaufuse.model.rskp import Outputs


@dataclass(frozen=True)
class Candidates:
    """What the memory chooses from, of B videos, without gradient."""

    representatives: torch.Tensor  # (B, K, D)
    representative_scores: torch.Tensor  # (B, K, C + 1) probabilities

    @classmethod
    def of(cls, outputs: Outputs) -> Candidates:
        """The representatives of a training step's outputs."""
        return cls(outputs.representatives.detach(), outputs.representative_scores.detach())


class ClassMemory:
    """`size` representatives of `dim` dimensions a class; empty rows have a score of -inf.

    Args:
        of_first_class: every video recalls class 0's memory, as the release does.
    """

    def __init__(
        self,
        num_classes: int,
        size: int,
        dim: int,
        device: torch.device,
        of_first_class: bool = False,
    ):
        self.of_first_class = of_first_class
        self.rows = torch.zeros(num_classes, size, dim, device=device)
        self.scores = torch.full((num_classes, size), -torch.inf, device=device)

    def clear(self) -> None:
        """Forgets everything."""
        self.rows.zero_()
        self.scores.fill_(-torch.inf)

    @torch.no_grad()
    def update(self, candidates: Candidates, labels: torch.Tensor) -> None:
        """Merges the representatives of a batch into the memory of their videos' classes.

        labels: (B, C) multi-hot.
        """
        size = self.scores.shape[1]
        rows = candidates.representatives.flatten(0, 1)  # (B K, D)
        scores = candidates.representative_scores[..., :-1]  # (B, K, C)
        scores = torch.where(labels.unsqueeze(1) > 0, scores, -torch.inf).flatten(0, 1)
        merged = torch.cat([self.scores, scores.T], dim=1)  # (C, size + B K)
        best, index = merged.topk(size, dim=1)
        from_batch = rows[(index - size).clamp(min=0)]
        own = index.clamp(max=size - 1).unsqueeze(-1).expand(-1, -1, self.rows.shape[-1])
        kept = self.rows.gather(1, own)
        self.rows = torch.where((index < size).unsqueeze(-1), kept, from_batch)
        self.scores = best

    def recall(self, labels: torch.Tensor, most_labels: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows (B, M, D) of each video's classes and which of them are valid (B, M), where
        M = most_labels * size and `most_labels` is the most classes that a video here has."""
        present, classes = labels.topk(most_labels, dim=1)  # (B, L)
        if self.of_first_class:
            present, classes = present[:, :1], torch.zeros_like(classes[:, :1])
        valid = (present > 0).unsqueeze(-1) & torch.isfinite(self.scores[classes])
        return self.rows[classes].flatten(1, 2), valid.flatten(1)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """For a checkpoint: the rows (C, size, D) and their scores (C, size), not copied."""
        return {"rows": self.rows, "scores": self.scores}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Takes the memory of a checkpoint.

        Raises:
            ValueError: it is of other classes, size or dimensions.
        """
        for name in ("rows", "scores"):
            current = getattr(self, name)
            if state[name].shape != current.shape:
                raise ValueError(
                    f"the checkpoint's memory has {name} of shape {tuple(state[name].shape)}, "
                    f"expected {tuple(current.shape)}"
                )
            setattr(self, name, state[name].to(current))
