"""Mean average precision of video-level classification (method section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gaufuse_ext._fork import works_in_forked_child


@dataclass(frozen=True)
class ClassificationMap:
    """Average precision of videos ranked by each class's score."""

    per_class: np.ndarray  # (C,) average precision in percent; NaN: a class that no video has

    @property
    def map(self) -> float:
        """Mean over the classes that occur; NaN: none does."""
        present = self.per_class[~np.isnan(self.per_class)]
        return float(present.mean()) if len(present) else float("nan")


@works_in_forked_child
def classification_map(
    scores: torch.Tensor | np.ndarray, labels: torch.Tensor | np.ndarray
) -> ClassificationMap:
    """Average precision of videos ranked by a class's score: the mean, over the videos that have
    the class, of the precision at their rank.

    Args:
        scores: (V, C) finite; videos of equal score keep their order.
        labels: (V, C); positive: the video has the class.

    Raises:
        TypeError, ValueError: no numbers, shapes that differ, NaN or infinity in the scores.
    """
    scores, labels = (_matrix(n, x) for n, x in (("scores", scores), ("labels", labels)))
    if labels.shape != scores.shape:
        raise ValueError(
            f"labels must have the shape of scores, {tuple(scores.shape)}, got "
            f"{tuple(labels.shape)}"
        )
    if not bool(scores.isfinite().all()):
        raise ValueError("scores must be finite")
    order = scores.argsort(dim=0, descending=True, stable=True)
    hits = (labels.gather(0, order) > 0).double()
    ranks = torch.arange(1, len(hits) + 1, dtype=torch.float64).unsqueeze(1)
    positives = hits.sum(0)
    precision = (hits * hits.cumsum(0) / ranks).sum(0) / positives.clamp(min=1.0)
    precision[positives == 0] = torch.nan
    return ClassificationMap(100.0 * precision.numpy())


def _matrix(name: str, values: torch.Tensor | np.ndarray) -> torch.Tensor:
    if not isinstance(values, (torch.Tensor, np.ndarray)):
        raise TypeError(f"{name} must be a (V, C) tensor or array, got {type(values).__name__}")
    tensor = torch.as_tensor(values).detach().cpu().double()
    if tensor.dim() != 2:
        raise ValueError(f"{name} must have shape (V, C), got {tuple(tensor.shape)}")
    return tensor
