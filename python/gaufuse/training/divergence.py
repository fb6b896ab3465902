"""What to say when a loss is no longer finite: the likely reason, and what is left of the run."""

from __future__ import annotations

from pathlib import Path

from gaufuse.data.dataset import VideoSubset
from gaufuse.data.features import LARGE_FEATURE
from gaufuse.model.checkpoint import latest_checkpoint


def not_finite(
    epoch: int, losses: dict[str, float], training: VideoSubset, checkpoints: Path
) -> str:
    """The end of a run as one sentence."""
    largest, video = max(
        (float(x.abs().max()), name)
        for name, x in zip(training.names, training.features, strict=True)
    )
    advice = "lower the learning rate"
    if largest > LARGE_FEATURE:
        advice = (
            f"the features of {video!r} reach {largest:.3g}: extract them again, or set "
            "data.standardize=true"
        )
    last = latest_checkpoint(checkpoints)
    left = f"{last} is the last good state" if last else "there is no checkpoint yet"
    return f"the loss is not finite in epoch {epoch}: {losses}; {advice}; {left}"
