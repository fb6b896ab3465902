"""What to say when a loss is no longer finite: the likely reason, and what is left of the run."""

from __future__ import annotations

from pathlib import Path

from gaufuse.checkpoint import latest_checkpoint
from gaufuse.dataset import VideoSubset

# Features of networks are of the order of 1; from here on float32 loses what a step needs, and
# squares of 1e19 are infinite.
LARGE = 1e6


def not_finite(
    epoch: int, losses: dict[str, float], training: VideoSubset, checkpoints: Path
) -> str:
    """The end of a run as one sentence."""
    largest, video = max(
        (float(x.abs().max()), name)
        for name, x in zip(training.names, training.features, strict=True)
    )
    advice = "lower the learning rate"
    if largest > LARGE:
        advice = (
            f"the features of {video!r} reach {largest:.3g}: extract them again, or set "
            "data.standardize=true"
        )
    last = latest_checkpoint(checkpoints)
    left = f"{last} is the last good state" if last else "there is no checkpoint yet"
    return f"the loss is not finite in epoch {epoch}: {losses}; {advice}; {left}"
