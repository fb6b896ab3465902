"""Whether a run goes on with the training videos that it began with: labels are kept by index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gaufuse.data.dataset import VideoSubset


def videos_of(subset: VideoSubset) -> dict[str, Any]:
    """For a checkpoint: what must stay as it is. Values of features are not looked at: that would
    read the whole data set."""
    return {
        "names": list(subset.names),
        "snippets": list(subset.features.lengths),
        "labels": [row.nonzero().flatten().tolist() for row in subset.labels],
    }


def check_same_videos(path: Path, before: dict[str, Any], subset: VideoSubset) -> None:
    """Args:
        path: the checkpoint, for messages.
        before: `videos_of` its training videos.

    Raises:
        ValueError: the videos, their lengths or their labels have changed since.
    """
    change = _first_change(before, videos_of(subset))
    if change is not None:
        raise ValueError(
            f"the data set {subset.info.root} has changed since {path} was written: {change}; "
            "bring it back to what it was, or train into another folder (--init takes the "
            "checkpoint's weights)"
        )


def _first_change(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    if before["names"] != now["names"]:
        gone = [name for name in before["names"] if name not in set(now["names"])]
        new = [name for name in now["names"] if name not in set(before["names"])]
        if gone:
            return f"training video {gone[0]!r} is gone" + _more(gone)
        if new:
            return f"training video {new[0]!r} is new" + _more(new)
        return "the training videos are in another order"
    for name, old, own in zip(now["names"], before["snippets"], now["snippets"], strict=True):
        if old != own:
            return f"features of {name!r} have {own} snippets, they had {old}"
    for name, old, own in zip(now["names"], before["labels"], now["labels"], strict=True):
        if old != own:
            return f"training video {name!r} has other labels"
    return None


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
