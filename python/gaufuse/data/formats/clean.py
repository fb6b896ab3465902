"""`gaufuse convert --clean`: annotations that are wrong in a way that tells what was meant.

    ends before it starts       its ends are exchanged
    starts before the video     starts with it
    ends past the video's end   ends with it, where the duration is known
    lies outside the video      left out
    is there twice              left out the second time (the same class and ends)
    has no length               left out

Everything else stays an error: what was meant cannot be known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gaufuse.data.formats.source import Mended
from gaufuse_ext.annotations import VideoAnnotation, actions_as_annotations

REVERSED = "ends before it starts"
OUTSIDE = "lies outside the video"
EARLY = "starts before the video"
LATE = "ends past the video's end"
EMPTY = "has no length"
TWICE = "is there twice"


def exchange_ends(
    table: Mapping[str, Any], source: Path, clean: bool
) -> tuple[Mapping[str, Any], list[Mended]]:
    """Parsed JSON entries by video, in which no segment ends before it starts.

    Raises:
        ValueError: one does, and `clean` is not set.
    """
    mended: list[Mended] = []
    changed = dict(table)
    for video, entry in table.items():
        if not isinstance(entry, Mapping):
            continue
        annotations = entry.get("annotations")
        if annotations is None and "actions" in entry:
            annotations = actions_as_annotations(str(source), video, entry["actions"])
        if not isinstance(annotations, list):
            continue
        own = []
        for annotation in annotations:
            ends = _ends(annotation)
            if ends is None or ends[0] <= ends[1]:
                own.append(annotation)
                continue
            if not clean:
                raise ValueError(
                    f"{source}: video {video!r} has a segment that ends before it starts: "
                    f"{list(ends)}; mend it, or say --clean, which exchanges its ends"
                )
            after = [ends[1], ends[0]]
            label = str(annotation.get("label"))
            mended.append(Mended(video, label, REVERSED, list(ends), after))
            own.append({**annotation, "segment": after})
        changed[video] = {**entry, "annotations": own}
    return changed, mended


def clean_annotation(
    video: str, annotation: VideoAnnotation
) -> tuple[VideoAnnotation, list[Mended]]:
    """One video's parsed annotations without the faults above."""
    mended: list[Mended] = []
    kept: dict[tuple[float, float, str], int] = {}
    last = annotation.duration if annotation.duration else math.inf
    for i, (segment, label) in enumerate(
        zip(annotation.segments.tolist(), annotation.labels, strict=True)
    ):

        def note(
            fault: str, before: list[float], after: list[float] | None, label: str = label
        ) -> None:
            mended.append(Mended(video, label, fault, before, after))

        if segment[1] < segment[0]:
            note(REVERSED, segment, segment[::-1])
            segment = segment[::-1]
        if segment[0] == segment[1]:
            note(EMPTY, segment, None)
            continue
        if segment[1] <= 0.0 or segment[0] >= last:
            note(OUTSIDE, segment, None)
            continue
        if segment[0] < 0.0:
            note(EARLY, segment, [0.0, segment[1]])
            segment = [0.0, segment[1]]
        if segment[1] > last:
            note(LATE, segment, [segment[0], last])
            segment = [segment[0], last]
        if (*segment, label) in kept:
            note(TWICE, segment, None)
            continue
        kept[*segment, label] = i
    segments = np.array([key[:2] for key in kept], dtype=np.float64).reshape(-1, 2)
    labels = [key[2] for key in kept]
    scores = annotation.scores[list(kept.values())]
    return replace(annotation, segments=segments, labels=labels, scores=scores), mended


def _ends(annotation: object) -> tuple[float, float] | None:
    """None for what the parser will refuse."""
    segment = annotation.get("segment") if isinstance(annotation, Mapping) else None
    if not isinstance(segment, list | tuple) or len(segment) != 2:
        return None
    try:
        start, end = map(float, segment)
    except (TypeError, ValueError, OverflowError):
        return None
    return (start, end) if math.isfinite(start) and math.isfinite(end) else None
